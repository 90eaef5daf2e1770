"""Mean over valid pixels, without asking the device how many there are."""

import torch
from torch import Tensor


def masked_mean(values: Tensor, valid: Tensor) -> Tensor:
    """The sum of ``values`` (B, C, H, W) over valid pixels, divided by the number of valid pixels.

    Channels are summed. Without a valid pixel the result is a zero that keeps its gradient path, so that every process
    of a distributed run takes part in the backward pass.

    Args:
        values: Finite at valid pixels; what stands elsewhere does not matter.
        valid: (B, 1, H, W) bool.
    """
    return torch.where(valid, values, 0).sum() / valid.sum().clamp(min=1)


def at_valid(target: Tensor, valid: Tensor) -> Tensor:
    """``target`` in fp32 with zeros at ignored pixels, so that no marker value such as 255 or NaN enters arithmetic."""
    return torch.where(valid, target, 0).float()
