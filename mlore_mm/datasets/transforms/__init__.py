"""Steps from files to model inputs; every rule about labels is asked of ``results['tasks']``."""

from .crop import MultiTaskCentreCrop, MultiTaskRandomCrop
from .depth_normals import NormalsFromDepth
from .flip import MultiTaskRandomFlip
from .formatting import MarkIgnore, PackMultiTaskInputs
from .loading import LoadMultiTaskImage, LoadMultiTaskLabels
from .pad import CentrePad
from .photometric import PhotoMetricDistortion
from .scale import MultiTaskRandomScale, MultiTaskResize
from .warp import MultiTaskRandomWarp

__all__ = [
    'CentrePad',
    'LoadMultiTaskImage',
    'LoadMultiTaskLabels',
    'MarkIgnore',
    'MultiTaskCentreCrop',
    'MultiTaskRandomCrop',
    'MultiTaskRandomFlip',
    'MultiTaskRandomScale',
    'MultiTaskRandomWarp',
    'MultiTaskResize',
    'NormalsFromDepth',
    'PackMultiTaskInputs',
    'PhotoMetricDistortion',
]
