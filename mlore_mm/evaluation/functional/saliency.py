"""F-measure over thresholds from counts."""

import torch
from torch import Tensor


def threshold_counts(scores: Tensor, target: Tensor, valid: Tensor, thresholds: Tensor) -> Tensor:
    """(2, T) int64: of the valid pixels with ``scores >= threshold``, how many are positive, and how many there are.

    Args:
        scores: Any shape.
        target: 1 for a positive pixel, same shape.
        valid: bool, same shape.
        thresholds: (T,) ascending, on the device of ``scores``.
    """
    passed = torch.bucketize(scores, thresholds, right=True)  # number of thresholds <= score
    counts = []
    for counted in (valid & (target == 1), valid):
        bins = torch.where(counted, passed, 0).flatten()
        histogram = torch.bincount(bins, minlength=len(thresholds) + 1)
        counts.append(histogram[1:].flip(0).cumsum(0).flip(0))
    return torch.stack(counts)


def f_measure(true_positives: Tensor, predicted: Tensor, positives: Tensor, beta_squared: float = 0.3) -> Tensor:
    """F per threshold in 0..1, float64; 0 where nothing positive is found.

    (1 + b) P R / (b P + R) with P = TP / predicted and R = TP / positives equals
    (1 + b) TP / (b positives + predicted).
    """
    denominator = beta_squared * positives.double() + predicted.double()
    return (1 + beta_squared) * true_positives.double() / denominator.clamp(min=1e-12)


def image_scores(counts: Tensor, positives: Tensor) -> dict[str, Tensor]:
    """Per threshold IoU of the foreground, precision and recall of one image, float64 in 0..1.

    Nothing labelled and nothing found is an IoU of 1; precision without anything found, and recall without anything
    labelled, are 0.

    Args:
        counts: (2, T) of :func:`threshold_counts`.
        positives: Number of positive pixels.
    """
    found, predicted = counts.double()
    union = predicted + positives - found
    return dict(
        iou=torch.where(union > 0, found / union.clamp(min=1), 1),
        precision=found / predicted.clamp(min=1),
        recall=found / positives.double().clamp(min=1),
    )
