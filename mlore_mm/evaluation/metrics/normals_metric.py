"""Angular error of surface normals."""

import torch
from torch import Tensor

from mlore_mm.evaluation.functional import angle_histogram, angular_error, histogram_median, to_bytes
from mlore_mm.evaluation.metrics.base import TaskMetric
from mlore_mm.registry import METRICS

_LIMITS = (11.25, 22.5, 30.0)  # degrees


@METRICS.register_module()
class NormalsMetric(TaskMetric):
    """Angles over all valid pixels of the data set, in degrees, and shares of pixels in percent.

    ``mErr`` is the mean, ``median`` the median, ``RMSE`` the root mean square, and ``below_11.25``, ``below_22.5``,
    ``below_30`` the percentages of pixels with a smaller angle. All are exact but the median, which comes from a
    histogram with bins of 0.05 degrees, linear within a bin.

    Args:
        task: See ``TaskMetric``, as are the arguments not named here.
        eight_bit: Predictions go through a picture of 8 bits per component, cut off and not rounded, and are brought to
            unit length again: the published protocol of benchmark family A (ASTMT, MTI-Net), which scores files.
    """

    headline = 'mErr'
    higher_is_better = False
    unit = 'deg'

    def __init__(self, task: str, eight_bit: bool = False, **kwargs) -> None:
        super().__init__(task, **kwargs)
        self.eight_bit = eight_bit

    def measure(self, prediction: Tensor, target: Tensor, valid: Tensor) -> dict[str, Tensor]:
        if self.eight_bit:
            prediction = to_bytes((prediction + 1) / 2) * (2 / 255) - 1
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
