"""Checkpoints: reading them safely and completely, writing them whole, and removing only those of this training.

One way for all who do so: :func:`read_checkpoint` and :func:`fill_model` for resuming, testing, inference, export,
``load_from``, ``init_cfg`` and the converters; :func:`write_checkpoint` and the file backend 'whole_files'.
"""

from .backend import KeepingBackend, WholeFileBackend
from .choice import choose_checkpoint
from .compare import differences
from .files import find_damage, has_checkpoint, newest_whole_checkpoint
from .meta import check_meta
from .naming import naming_checkpoint
from .own_files import OwnFiles
from .pretrained import CheckedPretrainedInit, check_pretrained_files
from .reader import load_checkpoint_file, read_checkpoint, read_plain, refusal, weights_only
from .trainable import leave_out_frozen, put_back_frozen
from .weights import TRAINING_ONLY, check_averages, fill_model, require_all_weights
from .writer import checkpoint_bytes, write_checkpoint

__all__ = [
    'TRAINING_ONLY',
    'CheckedPretrainedInit',
    'KeepingBackend',
    'OwnFiles',
    'WholeFileBackend',
    'check_averages',
    'check_meta',
    'check_pretrained_files',
    'checkpoint_bytes',
    'choose_checkpoint',
    'differences',
    'fill_model',
    'find_damage',
    'has_checkpoint',
    'naming_checkpoint',
    'leave_out_frozen',
    'load_checkpoint_file',
    'newest_whole_checkpoint',
    'put_back_frozen',
    'read_checkpoint',
    'read_plain',
    'refusal',
    'require_all_weights',
    'weights_only',
    'write_checkpoint',
]
