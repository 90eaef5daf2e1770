"""Cross-entropy for tasks whose labels are class ids."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mlore_mm.models.losses.reduction import (
    PER_PROCESS,
    Reduction,
    at_valid,
    full_precision,
    masked_mean,
    masked_share,
    weighted_mean,
)
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

    Args:
        class_weight: One per class, for rare classes; the mean is then weighted, the sum of w[y] * -log p(y) over valid
            pixels divided by the sum of w[y], as PyTorch's and mmsegmentation's are.
    """

    def __init__(self, class_weight: Sequence[float] | None = None) -> None:
        super().__init__()
        if class_weight is not None and (not len(class_weight) or min(class_weight) < 0 or not any(class_weight)):
            raise ValueError(f'PixelCrossEntropyLoss needs class weights of at least 0, but got {list(class_weight)}.')
        self.class_weight = None if class_weight is None else tuple(map(float, class_weight))

    def forward(self, logits: Tensor, target: Tensor, valid: Tensor, reduction: Reduction = PER_PROCESS) -> Tensor:
        """Logits (B, C, H, W), class ids (B, 1, H, W) of any dtype, valid (B, 1, H, W) bool, to a scalar."""
        loss, ids = _negative_log_likelihood(logits, target, valid)
        if self.class_weight is None:
            return masked_mean(loss, valid, reduction)
        if len(self.class_weight) != logits.shape[1]:
            raise ValueError(
                f'PixelCrossEntropyLoss has {len(self.class_weight)} class weights, but logits of {logits.shape[1]} '
                f'channels. Give one weight per class.'
            )
        weights = torch.where(valid, loss.new_tensor(self.class_weight)[ids], 0)
        return weighted_mean(loss, weights, reduction)


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


@MODELS.register_module()
class WeightedCrossEntropyLoss(nn.Module):
    """Softmax cross-entropy in which each class weighs what is given, divided by the sum of the pixels' weights.

    Labels between whole numbers, such as boundaries that were resized, count as the next class above.
    Source: edges of DenseMTL (Lopes et al., WACV 2023), with the weights 0.05 and 0.95.

    Args:
        class_weights: One per class.
    """

    def __init__(self, class_weights: Sequence[float] = (0.05, 0.95)) -> None:
        super().__init__()
        if not class_weights or min(class_weights) < 0:
            raise ValueError(f'WeightedCrossEntropyLoss needs weights of at least 0, but got {list(class_weights)}.')
        self.class_weights = tuple(class_weights)

    def forward(self, logits: Tensor, target: Tensor, valid: Tensor, reduction: Reduction = PER_PROCESS) -> Tensor:
        """Logits (B, C, H, W), class ids (B, 1, H, W) of any dtype, valid (B, 1, H, W) bool, to a scalar."""
        if logits.shape[1] != len(self.class_weights):
            raise ValueError(
                f'WeightedCrossEntropyLoss has {len(self.class_weights)} class_weights, but logits of '
                f'{logits.shape[1]} channels. Set out_channels of the task, or give one weight per class.'
            )
        loss, ids = _negative_log_likelihood(logits, target.ceil(), valid)
        weights = torch.where(valid, loss.new_tensor(self.class_weights)[ids], 0)
        return weighted_mean(loss, weights, reduction)
