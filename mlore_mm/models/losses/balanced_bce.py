"""Weighted binary cross-entropy for boundaries."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mlore_mm.models.losses.reduction import PER_PROCESS, Reduction, at_valid, full_precision, masked_mean, masked_share
from mlore_mm.registry import MODELS


@MODELS.register_module()
class BalancedBCELoss(nn.Module):
    """Binary cross-entropy with logits, positives weighted w and negatives 1 - w, mean over valid pixels.

    A label between 0 and 1 counts in part as positive and in part as negative.
    Source: boundaries of MLoRE (Yang et al., CVPR 2024), with w = 0.925, 0.95 or 0.88; with a ``threshold``, boundaries
    and single-channel saliency of ASTMT (Maninis et al., CVPR 2019) and MTI-Net (Vandenhende et al., ECCV 2020).
    Differs: a batch without valid pixels gives zero, where the published code gives NaN.

    Args:
        pos_weight: w, above 0 and below 1; or 'balanced', the share of negatives among the valid pixels of the batch.
        threshold: Labels from here on are positive and all others negative, 0.5 as published for MTI-Net; None takes
            labels as they are.
        ignored_as_positive: The published way of MTI-Net, whose saliency and boundaries know no ignored pixels: all
            pixels count, and 255 is above the threshold.
    """

    def __init__(
        self, pos_weight: float | str = 0.95, threshold: float | None = None, ignored_as_positive: bool = False
    ) -> None:
        super().__init__()
        if pos_weight != 'balanced' and not (isinstance(pos_weight, (int, float)) and 0 < pos_weight < 1):
            raise ValueError(
                f'BalancedBCELoss needs 0 < pos_weight < 1 (negatives weigh 1 - pos_weight), but got {pos_weight}; '
                f"or 'balanced'. Check `loss` of the task, such as "
                f"tasks.edge.loss=dict(type='BalancedBCELoss', pos_weight=0.95)."
            )
        if ignored_as_positive and threshold is None:
            raise ValueError('ignored_as_positive of BalancedBCELoss needs a threshold, such as threshold=0.5.')
        self.pos_weight, self.threshold, self.ignored_as_positive = pos_weight, threshold, ignored_as_positive

    def forward(self, logits: Tensor, target: Tensor, valid: Tensor, reduction: Reduction = PER_PROCESS) -> Tensor:
        """Logits and labels in 0..1 (B, C, H, W), valid (B, 1, H, W) bool, to a scalar."""
        if self.ignored_as_positive:
            valid = torch.ones_like(valid)
        logits = full_precision(logits)
        target = at_valid(target, valid).to(logits.dtype)  # or the weights below would be rounded to fp32
        if self.threshold is not None:
            target = (target >= self.threshold).to(logits.dtype)
        weight = self.pos_weight
        if weight == 'balanced':
            weight = masked_share(target < (self.threshold or 0.5), valid, reduction)
        # softplus(-x) is -log sigmoid(x), and softplus(x) is -log(1 - sigmoid(x)).
        positive, negative = F.softplus(-logits), F.softplus(logits)
        loss = weight * target * positive + (1 - weight) * (1 - target) * negative
        return masked_mean(loss, valid, reduction) / logits.shape[1]
