"""Checkpoint layouts of others to ours and back, as pure functions on dicts of tensors.

A new system is a file with its :class:`KeyTable`, registered under the system's name, and an import here.
"""

from .densemtl import DEEP_LAB, DENSE_MTL, PAD_NET_PLUS, reorder_sources
from .extract_task import extract_task
from .invpt import INVPT
from .m3vit import M3VIT
from .mod_squad import MOD_SQUAD, ModSquadTable
from .pad_net import MTI_NET, PAD_NET
from .published import SYSTEMS, convert_to_ours, convert_to_published, register_system
from .rename import KeyTable
from .sharing import CROSS_STITCH, MTAN, NDDR_CNN, join_single_tasks
from .task_prompter import TASK_PROMPTER

__all__ = [
    'CROSS_STITCH',
    'MTAN',
    'NDDR_CNN',
    'join_single_tasks',
    'DEEP_LAB',
    'DENSE_MTL',
    'INVPT',
    'KeyTable',
    'M3VIT',
    'MOD_SQUAD',
    'MTI_NET',
    'ModSquadTable',
    'PAD_NET',
    'PAD_NET_PLUS',
    'SYSTEMS',
    'TASK_PROMPTER',
    'convert_to_ours',
    'convert_to_published',
    'extract_task',
    'register_system',
    'reorder_sources',
]
