"""Errors of positive distances, as sums over pixels that can be added up over images."""

import torch
from torch import Tensor

# Errors by name in the order of the sums; the first two are rooted after averaging.
_DELTAS = {'delta1': 1.25, 'delta2': 1.25**2, 'delta3': 1.25**3}
_LOG_FLOOR = 1e-9  # metres; a prediction of zero has no logarithm. The published code's value.


def depth_sums(prediction: Tensor, target: Tensor, valid: Tensor) -> dict[str, Tensor]:
    """Sums over valid pixels, float64 scalars.

    Keys: ``RMSE`` and ``logRMSE`` (squared differences), ``absRel`` (relative), ``sqRel`` (squared over distance), and
    ``delta1`` to ``delta3``, the number of pixels whose ratio to the label, or its inverse, is below 1.25, 1.25^2,
    1.25^3.

    Args:
        prediction: Metres, any shape; negative ones count as 0.
        target: Metres, same shape, positive where valid.
        valid: bool, same shape.
    """
    target = torch.where(valid, target, 1).double()
    prediction = torch.where(valid, prediction, 1).double().clamp(min=0)
    squared = (prediction - target).square()
    floored = prediction.clamp(min=_LOG_FLOOR)
    ratio = torch.maximum(floored / target, target / floored)
    errors = dict(
        RMSE=squared,
        logRMSE=(floored.log() - target.log()).square(),
        absRel=(prediction - target).abs() / target,
        sqRel=squared / target,
        **{name: torch.where(valid, (ratio < limit).double(), 0) for name, limit in _DELTAS.items()},
    )
    return {name: error.sum() for name, error in errors.items()}


def depth_errors(sums: dict[str, Tensor], count: Tensor) -> dict[str, float]:
    """Sums over ``count`` pixels to errors: RMSE in metres, logRMSE in log metres, the others without unit.

    ``delta1`` to ``delta3`` are percent of pixels.
    """
    means = {name: (total / count).item() for name, total in sums.items()}
    means.update({name: means[name] ** 0.5 for name in ('RMSE', 'logRMSE')})
    means.update({name: 100 * means[name] for name in _DELTAS})
    return means
