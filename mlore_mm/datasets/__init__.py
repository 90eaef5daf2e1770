"""Where labels are stored, and how images and labels become model inputs. What labels mean is in ``mlore_mm.tasks``."""

from . import label_readers, transforms
from .cached_features import CachedFeaturesDataset
from .cityscapes import CityscapesDataset
from .multi_task_dataset import MultiTaskDataset
from .nyud_v2 import NYUDMTDataset, NYUDv2Dataset
from .pascal_context import PASCALContextDataset
from .samplers import ResumableSampler
from .taskonomy import TaskonomyDataset
from .wrappers import ClassBalancedDataset, SeededDataset

__all__ = [
    'CachedFeaturesDataset',
    'CityscapesDataset',
    'ClassBalancedDataset',
    'MultiTaskDataset',
    'NYUDMTDataset',
    'NYUDv2Dataset',
    'PASCALContextDataset',
    'ResumableSampler',
    'SeededDataset',
    'TaskonomyDataset',
    'label_readers',
    'transforms',
]
