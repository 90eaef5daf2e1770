"""Networks and their losses."""

from .backbones import *  # noqa: F403
from .compiling import compile_network
from .data_preprocessor import MultiTaskDataPreprocessor
from .decode_heads import *  # noqa: F403
from .distributed import MultiTaskDistributedDataParallel
from .losses import *  # noqa: F403
from .multi_task_encoder_decoder import MultiTaskEncoderDecoder
from .output import MultiTaskOutput
from .tta import MultiTaskTTAModel

__all__ = [
    'MultiTaskDataPreprocessor',
    'MultiTaskDistributedDataParallel',
    'MultiTaskEncoderDecoder',
    'MultiTaskOutput',
    'MultiTaskTTAModel',
    'compile_network',
]
