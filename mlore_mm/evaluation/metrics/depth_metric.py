"""Errors of depth."""

from torch import Tensor

from mlore_mm.evaluation.functional import depth_errors, depth_sums
from mlore_mm.evaluation.metrics.base import TaskMetric
from mlore_mm.registry import METRICS


@METRICS.register_module()
class DepthMetric(TaskMetric):
    """``RMSE`` (metres), ``logRMSE``, ``absRel``, ``sqRel``, and ``delta1`` to ``delta3`` (percent).

    Every valid pixel of the data set counts alike; there is no mean over images in between. The published code reports
    the first four.

    Args:
        task: See ``TaskMetric``, as are the arguments not named here.
        min_depth: Metres; labels at or below are not evaluated. ``Depth`` reads both, and the loss leaves them out too.
        max_depth: Metres; labels at or beyond are not evaluated.
    """

    headline = 'RMSE'
    higher_is_better = False
    unit = 'm'
    limits = (0.0, 80.0)  # the defaults of min_depth and max_depth

    def __init__(self, task: str, min_depth: float = limits[0], max_depth: float = limits[1], **kwargs) -> None:
        super().__init__(task, **kwargs)
        check_limits(self, min_depth, max_depth)
        self.min_depth = min_depth
        self.max_depth = max_depth

    def measure(self, prediction: Tensor, target: Tensor, valid: Tensor) -> dict[str, Tensor]:
        valid = valid & (target > self.min_depth) & (target < self.max_depth)
        return dict(depth_sums(prediction, target, valid), count=valid.sum())

    def summarize(self, totals: dict[str, Tensor]) -> dict[str, float]:
        sums = {name: total for name, total in totals.items() if name != 'count'}
        return depth_errors(sums, totals['count'])


def check_limits(metric: TaskMetric, min_depth: float, max_depth: float) -> None:
    """Raises ValueError for a range of depths that holds none."""
    if not 0 <= min_depth < max_depth:
        raise ValueError(
            f'{type(metric).__name__} needs 0 <= min_depth < max_depth, but got min_depth={min_depth} and '
            f'max_depth={max_depth}. Check `metric` of the task.'
        )
