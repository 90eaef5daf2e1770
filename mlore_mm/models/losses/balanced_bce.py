"""Weighted binary cross-entropy for boundaries."""

import torch.nn.functional as F
from torch import Tensor, nn

from mlore_mm.models.losses.reduction import PER_PROCESS, Reduction, at_valid, full_precision, masked_mean
from mlore_mm.registry import MODELS


@MODELS.register_module()
class BalancedBCELoss(nn.Module):
    """Binary cross-entropy with logits, positives weighted w and negatives 1 - w, mean over valid pixels.

    A label between 0 and 1 counts in part as positive and in part as negative.
    Source: boundaries of MLoRE (Yang et al., CVPR 2024), with w = 0.925, 0.95 or 0.88.
    Differs: a batch without valid pixels gives zero, where the published code gives NaN.

    Args:
        pos_weight: w, above 0 and below 1.
    """

    def __init__(self, pos_weight: float = 0.95) -> None:
        super().__init__()
        if not 0 < pos_weight < 1:
            raise ValueError(
                f'BalancedBCELoss needs 0 < pos_weight < 1 (negatives weigh 1 - pos_weight), but got {pos_weight}. '
                f"Check `loss` of the task, such as tasks.edge.loss=dict(type='BalancedBCELoss', pos_weight=0.95)."
            )
        self.pos_weight = pos_weight

    def forward(self, logits: Tensor, target: Tensor, valid: Tensor, reduction: Reduction = PER_PROCESS) -> Tensor:
        """Logits and labels in 0..1 (B, C, H, W), valid (B, 1, H, W) bool, to a scalar."""
        target = at_valid(target, valid)
        # softplus(-x) is -log sigmoid(x), and softplus(x) is -log(1 - sigmoid(x)).
        positive, negative = F.softplus(-full_precision(logits)), F.softplus(full_precision(logits))
        loss = self.pos_weight * target * positive + (1 - self.pos_weight) * (1 - target) * negative
        return masked_mean(loss, valid, reduction) / logits.shape[1]
