"""Where labels are stored, and how images and labels become model inputs. What labels mean is in ``mlore_mm.tasks``."""

from . import label_readers, transforms
from .cityscapes import CityscapesDataset
from .multi_task_dataset import MultiTaskDataset
from .nyud_v2 import NYUDv2Dataset
from .pascal_context import PASCALContextDataset
from .samplers import ResumableSampler

__all__ = [
    'CityscapesDataset',
    'MultiTaskDataset',
    'NYUDv2Dataset',
    'PASCALContextDataset',
    'ResumableSampler',
    'label_readers',
    'transforms',
]
