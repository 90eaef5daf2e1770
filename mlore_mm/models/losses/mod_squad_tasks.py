"""Losses of Mod-Squad's tasks on Taskonomy that no other system has; the rest take ``MaskedL1Loss``."""

import torch
from torch import Tensor, nn

from mlore_mm.models.losses.reduction import PER_PROCESS, Reduction, at_valid, full_precision, masked_mean
from mlore_mm.registry import MODELS


@MODELS.register_module()
class MaskedMSELoss(nn.Module):
    """Squared difference, mean over the channels of the valid pixels.

    Source: principal curvatures of Mod-Squad (Chen et al., CVPR 2023).
    """

    def forward(self, logits: Tensor, target: Tensor, valid: Tensor, reduction: Reduction = PER_PROCESS) -> Tensor:
        """Prediction and label (B, C, H, W) in the same unit, valid (B, 1, H, W) bool, to a scalar."""
        square = (full_precision(logits) - at_valid(target, valid)).square()
        return masked_mean(square, valid, reduction) / logits.shape[1]


@MODELS.register_module()
class DirectionLoss(nn.Module):
    """``1 - o.t / (|o| + eps) / (|t| + eps)``, mean over the valid pixels.

    Source: normals of Mod-Squad (Chen et al., CVPR 2023). Differs: pixels without a normal are not counted.

    Args:
        eps: Added to both lengths.
    """

    def __init__(self, eps: float = 1e-6) -> None:
        super().__init__()
        self.eps = eps

    def forward(self, logits: Tensor, target: Tensor, valid: Tensor, reduction: Reduction = PER_PROCESS) -> Tensor:
        """Prediction and label (B, 3, H, W), valid (B, 1, H, W) bool, to a scalar."""
        o, t = full_precision(logits), at_valid(target, valid)
        o, t = (x / (torch.linalg.vector_norm(x, dim=1, keepdim=True) + self.eps) for x in (o, t))
        return masked_mean(1 - (o * t).sum(dim=1, keepdim=True), valid, reduction)
