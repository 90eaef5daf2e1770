"""Angular error of surface normals."""

import torch
from torch import Tensor

from mlore_mm.evaluation.functional import angle_histogram, angular_error, histogram_median
from mlore_mm.evaluation.metrics.base import TaskMetric
from mlore_mm.registry import METRICS

_LIMITS = (11.25, 22.5, 30.0)  # degrees


@METRICS.register_module()
class NormalsMetric(TaskMetric):
    """Angles over all valid pixels of the data set, in degrees, and shares of pixels in percent.

    ``mErr`` is the mean, ``median`` the median, ``RMSE`` the root mean square, and ``below_11.25``, ``below_22.5``,
    ``below_30`` the percentages of pixels with a smaller angle. All are exact but the median, which comes from a
    histogram with bins of 0.05 degrees, linear within a bin.
    """

    headline = 'mErr'
    higher_is_better = False
    unit = 'deg'

    def measure(self, prediction: Tensor, target: Tensor, valid: Tensor) -> dict[str, Tensor]:
        angles = torch.where(valid, angular_error(prediction, target), 0)
        below = torch.stack([(valid & (angles < limit)).sum() for limit in _LIMITS])
        return dict(
            angle=angles.sum(),
            squared=angles.square().sum(),
            below=below,
            histogram=angle_histogram(angles, valid),
            count=valid.sum(),
        )

    def summarize(self, totals: dict[str, Tensor]) -> dict[str, float]:
        count = totals['count']
        shares = (100 * totals['below'] / count).tolist()
        return dict(
            mErr=(totals['angle'] / count).item(),
            median=histogram_median(totals['histogram']),
            RMSE=(totals['squared'] / count).sqrt().item(),
            **{f'below_{limit:g}': share for limit, share in zip(_LIMITS, shares, strict=True)},
        )
