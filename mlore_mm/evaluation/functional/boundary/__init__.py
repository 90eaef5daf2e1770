"""The boundary score of the SEISM protocol (odsF, oisF, AP) without MATLAB, one file per stage.

prediction -> ``smoothing`` -> ``suppression`` -> threshold and ``thinning`` -> ``matching`` with ``ground_truth``
-> ``counts`` of an image -> ``scores`` of a data set.
"""

from .counts import FAST_THRESHOLDS, FULL_THRESHOLDS, boundary_counts
from .files import count_image, read_labels, read_prediction
from .ground_truth import boundary_ground_truth, boundary_map
from .matching import matching_radius, maximum_matching
from .scores import BoundaryScores, average_precision, boundary_scores, f_measure, precision_recall
from .smoothing import smooth
from .suppression import edge_strength, fade_border, orientation, suppress_non_maxima
from .thinning import thin

__all__ = [
    'FAST_THRESHOLDS',
    'FULL_THRESHOLDS',
    'BoundaryScores',
    'average_precision',
    'boundary_counts',
    'boundary_ground_truth',
    'boundary_map',
    'boundary_scores',
    'count_image',
    'edge_strength',
    'f_measure',
    'fade_border',
    'matching_radius',
    'maximum_matching',
    'orientation',
    'precision_recall',
    'read_labels',
    'read_prediction',
    'smooth',
    'suppress_non_maxima',
    'thin',
]
