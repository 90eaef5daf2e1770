"""Cross-entropy for tasks whose labels are class ids."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mlore_mm.models.losses.reduction import PER_PROCESS, Reduction, at_valid, full_precision, masked_mean, masked_share
from mlore_mm.registry import MODELS


def _negative_log_likelihood(logits: Tensor, target: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    """Per pixel (B, 1, H, W), and the class ids (B, 1, H, W) with 0 at ignored pixels.

    No reduction inside ``cross_entropy``: its own has no deterministic form on GPUs.
    """
    ids = at_valid(target, valid).long()
    return F.cross_entropy(full_precision(logits), ids[:, 0], reduction='none')[:, None], ids


@MODELS.register_module()
class PixelCrossEntropyLoss(nn.Module):
    """Softmax cross-entropy, mean over the valid pixels of the batch.

    Source: semseg and human_parts of MLoRE (Yang et al., CVPR 2024).
    """

    def forward(self, logits: Tensor, target: Tensor, valid: Tensor, reduction: Reduction = PER_PROCESS) -> Tensor:
        """Logits (B, C, H, W), class ids (B, 1, H, W) of any dtype, valid (B, 1, H, W) bool, to a scalar."""
        loss, _ = _negative_log_likelihood(logits, target, valid)
        return masked_mean(loss, valid, reduction)


@MODELS.register_module()
class BalancedCrossEntropyLoss(nn.Module):
    """Two-class cross-entropy in which the rarer class of the batch weighs more.

    With p the share of class 0 among the valid pixels of the batch, class 0 weighs 1 - p and class 1 weighs p; the sum
    is divided by the number of valid pixels (not by the sum of weights).
    Source: saliency of MLoRE (Yang et al., CVPR 2024); the balance of HED (Xie and Tu, ICCV 2015).
    Differs: a batch without valid pixels gives zero, where the published code raises an error.
    """

    def forward(self, logits: Tensor, target: Tensor, valid: Tensor, reduction: Reduction = PER_PROCESS) -> Tensor:
        """Logits (B, 2, H, W), class ids (B, 1, H, W) of any dtype, valid (B, 1, H, W) bool, to a scalar."""
        if logits.shape[1] != 2:
            raise ValueError(
                f'BalancedCrossEntropyLoss needs logits of 2 channels (background, foreground), but got '
                f'{logits.shape[1]}. Set out_channels=2 in the task, or use PixelCrossEntropyLoss.'
            )
        loss, ids = _negative_log_likelihood(logits, target, valid)
        negative_share = masked_share(ids == 0, valid, reduction)
        weight = torch.where(ids == 0, 1 - negative_share, negative_share)
        return masked_mean(weight * loss, valid, reduction)
