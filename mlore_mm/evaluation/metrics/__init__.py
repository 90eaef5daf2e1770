"""mmengine metrics, one per kind of task."""

from .base import TaskMetric
from .boundary_loss_metric import BoundaryLossMetric
from .boundary_metric import BoundaryMetric
from .depth_metric import DepthMetric
from .edge_f1_metric import EdgeF1Metric
from .iou_metric import IoUMetric
from .normals_metric import NormalsMetric
from .per_image_metric import PerImageDepthMetric, PerImageNormalsMetric
from .regression_metric import RegressionMetric
from .saliency_iou_metric import SaliencyIoUMetric
from .saliency_metric import SaliencyMetric

__all__ = [
    'BoundaryLossMetric',
    'BoundaryMetric',
    'DepthMetric',
    'EdgeF1Metric',
    'IoUMetric',
    'NormalsMetric',
    'PerImageDepthMetric',
    'PerImageNormalsMetric',
    'RegressionMetric',
    'SaliencyIoUMetric',
    'SaliencyMetric',
    'TaskMetric',
]
