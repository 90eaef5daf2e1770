"""A 3x3 convolution of a map of which every pixel was doubled both ways, computed where the map is small."""

import torch
import torch.nn.functional as F
from torch import Tensor


def doubled_conv3x3(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Nearest upsampling by 2, a border of mirrored pixels, and a 3x3 convolution, as one exact operation.

    (B, C, h, w) to (B, C', 2h, 2w). Of three neighbouring pixels of the large map two are the same one of the small
    map, so that each of the four phases of the result is a 2x2 convolution of the small map: 16 multiplications where
    the plain form has 36, and the large map never exists. The mirrored border of the large map is the repeated border
    of the small one.

    Args:
        x: The small map.
        weight: (C', C, 3, 3).
        bias: (C').
    """
    kernels = _phases(weight).flatten(0, 1)
    bias = None if bias is None else bias.repeat(4)
    maps = F.conv2d(F.pad(x, (1, 1, 1, 1), mode='replicate'), kernels, bias).unflatten(1, (2, 2, -1))
    h, w = x.shape[-2:]
    rows = [torch.stack([maps[:, i, j, :, i : i + h, j : j + w] for j in range(2)], dim=-1) for i in range(2)]
    return torch.stack(rows, dim=3).flatten(4, 5).flatten(2, 3)


def _phases(weight: Tensor) -> Tensor:
    """(C', C, 3, 3) to (4, C', C, 2, 2): kernels of the phases (even, even), (even, odd), (odd, even), (odd, odd)."""
    rows = _halves(weight, 2)
    return torch.stack([kernel for row in rows for kernel in _halves(row, 3)])


def _halves(weight: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """Three taps to two: an even pixel sees its neighbour before and itself twice, an odd one itself twice and then
    the next."""
    before, here, after = weight.unbind(dim)
    return torch.stack([before, here + after], dim), torch.stack([before + here, after], dim)
