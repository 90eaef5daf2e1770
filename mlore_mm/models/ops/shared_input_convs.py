"""Several 3x3 convolutions of the same maps."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mlore_mm.models.ops.winograd import Conv, convs3x3, winograd_pays


def shared_input_convs3x3(x: Tensor, convs: Sequence[nn.Conv2d]) -> list[Tensor]:
    """Each convolution of x (B, C, H, W), in the form that is faster: maps (B, C_i, H, W).

    On a CPU, from a certain size on, Winograd's form, which transforms x once for all of them. Else one by one in
    training, and in inference as one convolution with all kernels.

    Args:
        x: The maps.
        convs: Of stride 1 with a border of one zero, with or without a bias.
    """
    weights = [conv.weight for conv in convs]
    if winograd_pays(x[:1], weights, [Conv(0, i) for i in range(len(convs))]):
        return [_with_bias(y, conv.bias) for y, conv in zip(_by_winograd(x, weights), convs, strict=True)]
    if torch.is_grad_enabled():
        return [conv(x) for conv in convs]
    parts = F.conv2d(x, torch.cat(weights), padding=1).split([len(weight) for weight in weights], dim=1)
    return [_with_bias(y, conv.bias) for y, conv in zip(parts, convs, strict=True)]


def _by_winograd(x: Tensor, weights: Sequence[Tensor]) -> list[Tensor]:
    count = len(x)
    maps = convs3x3(x, weights, [Conv(sample, kernel) for kernel in range(len(weights)) for sample in range(count)])
    return [torch.stack(maps[start : start + count]) for start in range(0, len(maps), count)]


def _with_bias(y: Tensor, bias: Tensor | None) -> Tensor:
    return y if bias is None else y + bias[:, None, None]
