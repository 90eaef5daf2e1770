"""F1 of edges as a class of pixels."""

from torch import Tensor

from mlore_mm.evaluation.functional import class_counts
from mlore_mm.evaluation.metrics.base import TaskMetric
from mlore_mm.registry import METRICS


@METRICS.register_module()
class EdgeF1Metric(TaskMetric):
    """``F1``, the mean of the F1 of edges and of background in percent, and both; from counts over the data set.

    There is no thinning and no tolerance, so these numbers and odsF have nothing to do with each other.
    Source: DenseMTL (Lopes et al., WACV 2023).

    Args:
        task: See ``TaskMetric``, as are the arguments not named here.
        threshold: Probability from which a pixel is predicted as edge. A label above 0 is one.
    """

    headline = 'F1'

    def __init__(self, task: str, threshold: float = 0.5, **kwargs) -> None:
        super().__init__(task, **kwargs)
        self.threshold = threshold

    def measure(self, prediction: Tensor, target: Tensor, valid: Tensor) -> dict[str, Tensor]:
        return dict(counts=class_counts(prediction > self.threshold, target > 0, valid, 2), count=valid.sum())

    def summarize(self, totals: dict[str, Tensor]) -> dict[str, float]:
        both, predicted, labelled = totals['counts'].double()
        f1 = 100 * 2 * both / (predicted + labelled)  # NaN of a class found neither in labels nor in predictions
        return dict(F1=f1.nanmean().item(), F1_background=f1[0].item(), F1_edge=f1[1].item())
