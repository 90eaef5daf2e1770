"""A loss of one's own: the reverse Huber loss for depth."""

import torch
from torch import Tensor, nn

from mlore_mm.models.losses.reduction import PER_PROCESS, Reduction, at_valid, masked_mean
from mlore_mm.registry import MODELS


@MODELS.register_module()
class ReverseHuberLoss(nn.Module):
    """L1 for small errors, squared for large ones: |e| up to c, (e^2 + c^2) / (2c) above; mean over valid pixels.

    c is a share of the largest error of the batch. Source: Laina et al., 3DV 2016.

    Args:
        share: c over the largest error, 0.2 in the paper.
    """

    def __init__(self, share: float = 0.2) -> None:
        super().__init__()
        if not 0 < share <= 1:
            raise ValueError(f'ReverseHuberLoss needs 0 < share <= 1, but got {share}. Check `loss` of the task.')
        self.share = share

    def forward(self, logits: Tensor, target: Tensor, valid: Tensor, reduction: Reduction = PER_PROCESS) -> Tensor:
        """Logits (B, C, H, W), labels (B, C, H, W), valid (B, 1, H, W) bool, to a scalar.

        Nothing here asks the device for a number, and a batch without valid pixels gives a zero with a gradient path.
        """
        error = (logits.float() - at_valid(target, valid)).abs()
        limit = self.share * torch.where(valid, error, 0).amax().detach().clamp(min=1e-6)
        loss = torch.where(error <= limit, error, (error.square() + limit.square()) / (2 * limit))
        return masked_mean(loss, valid, reduction) / logits.shape[1]
