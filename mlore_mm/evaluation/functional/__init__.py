"""Pure functions behind the metrics: counts and sums that add up over images, and the numbers they give."""

from .depth import depth_errors, depth_sums
from .gain import delta_m, relative_gain
from .normals import angle_histogram, angular_error, histogram_median
from .pictures import to_bytes
from .saliency import f_measure, image_scores, threshold_counts
from .segmentation import class_counts, confusion_counts, iou_per_class

__all__ = [
    'angle_histogram',
    'angular_error',
    'class_counts',
    'confusion_counts',
    'delta_m',
    'depth_errors',
    'depth_sums',
    'f_measure',
    'histogram_median',
    'image_scores',
    'iou_per_class',
    'relative_gain',
    'threshold_counts',
    'to_bytes',
]
