"""Angles between unit vectors, and a histogram fine enough for their median."""

import torch
from torch import Tensor

from mlore_mm.utils.vectors import lengths, unit_vectors

BIN_WIDTH = 0.05  # degrees; the median is known to this, and better where angles are dense
NUM_BINS = int(180 / BIN_WIDTH)


def angular_error(prediction: Tensor, target: Tensor) -> Tensor:
    """Degrees in 0..180 between vectors, (..., 3, H, W) to (..., 1, H, W) float64.

    Both are brought to unit length. 2 atan2(|p - q|, |p + q|) stays accurate for small angles, where acos does not.
    """
    prediction, target = (unit_vectors(v.double()) for v in (prediction, target))
    difference, total = (lengths(v) for v in (prediction - target, prediction + target))
    return torch.rad2deg(2 * torch.atan2(difference, total))


def angle_histogram(angles: Tensor, valid: Tensor) -> Tensor:
    """(NUM_BINS,) int32: valid pixels per bin of ``BIN_WIDTH`` degrees, from 0 to 180."""
    bins = torch.where(valid, (angles / BIN_WIDTH).long().clamp(max=NUM_BINS - 1), NUM_BINS)
    return torch.bincount(bins.flatten(), minlength=NUM_BINS + 1)[:NUM_BINS].int()


def histogram_median(histogram: Tensor) -> float:
    """The median in degrees, linear inside its bin, so off by less than ``BIN_WIDTH``; NaN without a pixel."""
    cumulative = histogram.double().cumsum(0)
    half = cumulative[-1] / 2
    if half == 0:
        return float('nan')
    index = int(torch.searchsorted(cumulative, half))
    below = cumulative[index] - histogram[index]
    return BIN_WIDTH * (index + ((half - below) / histogram[index]).item())
