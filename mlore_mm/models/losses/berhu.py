"""The reverse Huber loss."""

import torch
from torch import Tensor, nn

from mlore_mm.models.losses.reduction import PER_PROCESS, Reduction, at_valid, full_precision
from mlore_mm.registry import MODELS


@MODELS.register_module()
class BerHuLoss(nn.Module):
    """Absolute difference e up to C, ``(e^2 + C^2) / (2 C)`` above; C is a share of the largest e of the batch.

    Source: depth of DenseMTL (Lopes et al., WACV 2023), after Laina et al., 3DV 2016.
    Differs: where every e is zero, so is the gradient; the published code gives NaN.

    Args:
        threshold: That share.
        average: 'all' pixels, among which those without a label count as 0 (published), or the 'valid' ones.
    """

    def __init__(self, threshold: float = 0.2, average: str = 'all') -> None:
        super().__init__()
        if threshold <= 0 or average not in ('all', 'valid'):
            raise ValueError(
                f"BerHuLoss needs threshold > 0 and average 'all' or 'valid', but got {threshold} and {average!r}."
            )
        self.threshold, self.average = threshold, average

    def forward(self, logits: Tensor, target: Tensor, valid: Tensor, reduction: Reduction = PER_PROCESS) -> Tensor:
        """Prediction and label (B, C, H, W) in the same unit, valid (B, 1, H, W) bool, to a scalar."""
        error = torch.where(valid, (full_precision(logits) - at_valid(target, valid)).abs(), 0)
        limit = (self.threshold * reduction.largest(error)).clamp(min=1e-12)
        loss = torch.where(error <= limit, error, (error.square() + limit.square()) / (2 * limit))
        counted = (valid if self.average == 'valid' else torch.ones_like(valid)).sum() * logits.shape[1]
        return loss.sum() * reduction.share / reduction.total(counted).clamp(min=1)
