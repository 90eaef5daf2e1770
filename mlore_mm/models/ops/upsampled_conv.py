"""A 3x3 convolution of an upsampled map, or of a sum of them, computed where the maps are small."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class UpsampledConv3x3(nn.Conv2d):
    """Bilinear upsampling (align_corners=False) followed by a zero-padded 3x3 convolution, as one exact operation.

    (B, C, h, w) to (B, C', scale*h, scale*w). Mixing channels commutes with interpolation, so the nine 1x1 products of
    the kernel run on the small map: h*w*9*C*C' multiplications instead of ``scale**2`` times as many. Interpolation,
    shift by the kernel's tap and zero padding are then two products with constant matrices, along the width and along
    the height. The large upsampled map never exists, in training it need not be kept for the backward pass either.

    Parameters are those of an ordinary ``nn.Conv2d`` of the same options; ``plain`` computes the literal form.
    """

    def __init__(
        self, in_channels: int, out_channels: int, scale: int = 4, dilation: int = 1, bias: bool = True
    ) -> None:
        super().__init__(in_channels, out_channels, 3, padding=dilation, dilation=dilation, bias=bias)
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        return upsampled_conv3x3(x, self.weight, self.bias, self.scale, self.dilation[0])

    def plain(self, x: Tensor) -> Tensor:
        """Upsample, then convolve: the definition."""
        x = F.interpolate(x, scale_factor=self.scale, mode='bilinear', align_corners=False)
        return F.conv2d(x, self.weight, self.bias, padding=self.padding, dilation=self.dilation)


@dataclass
class Upsampled:
    """One term of a sum of upsampled maps.

    Args:
        x: (B, C_x, h, w).
        scale: From h to the height of the sum, from w to its width.
        weight: (C, C_x) of a 1x1 convolution that brings x to the channels of the sum; None if it has them.
        bias: (C) of that convolution.
    """

    x: Tensor
    scale: int
    weight: Tensor | None = None
    bias: Tensor | None = None


def upsampled_conv3x3(x: Tensor, weight: Tensor, bias: Tensor | None, scale: int, dilation: int = 1) -> Tensor:
    """See :class:`UpsampledConv3x3`; ``weight`` is (C', C, 3, 3), ``bias`` (C')."""
    return conv3x3_of_sum([Upsampled(x, scale)], weight, bias, dilation)


def conv3x3_of_sum(terms: Sequence[Upsampled], weight: Tensor, bias: Tensor | None, dilation: int = 1) -> Tensor:
    """A zero-padded 3x3 convolution of the sum of several upsampled maps, (B, C', H, W).

    A term's 1x1 convolution is multiplied into the kernel, so its product costs 9*C_x*C' multiplications per pixel of
    the small map. Its bias stays constant under interpolation, and the padding is zeros behind it, as it should be.

    Args:
        terms: At least one.
        weight: (C', C, 3, 3).
        bias: (C').
        dilation: Of the convolution; the padding is as wide.
    """
    out = weight.shape[0]
    # One row of the product per (tap along x, output channel, tap along y): the order that needs no copy below.
    taps = weight.permute(3, 0, 2, 1).flatten(0, 2)
    wides, along_y = [], []
    for term in terms:
        b, _, h, w = term.x.shape
        maps = (taps if term.weight is None else taps @ term.weight) @ term.x.flatten(2)
        if term.bias is not None:
            maps = maps + (taps @ term.bias)[:, None]
        maps = maps.view(b, 3, out * 3 * h, w)
        along_x = _tap_matrices(w, term.scale, dilation, maps)
        wide = maps[:, 0] @ along_x[0]
        for tap in (1, 2):
            wide = torch.baddbmm(wide, maps[:, tap], along_x[tap].expand(b, -1, -1))
        wides.append(wide.view(b, out, 3 * h, term.scale * w))
        along_y.append(_tap_matrices(h, term.scale, dilation, maps).flatten(0, 1))
    wide = wides[0] if len(wides) == 1 else torch.cat(wides, dim=2)
    result = torch.cat(along_y).t() @ wide
    return result if bias is None else result + bias.to(result)[:, None, None]


def _tap_matrices(size: int, scale: int, dilation: int, like: Tensor) -> Tensor:
    """(3, size, scale*size): for each of three taps, upsampling of a line followed by the tap's shift, zero padded.

    Made anew in each call: it costs microseconds, and a cache would hold tensors of tracers and of inference mode.
    """
    eye = torch.eye(size, dtype=like.dtype, device=like.device)
    up = F.interpolate(eye[:, None], scale_factor=scale, mode='linear', align_corners=False)[:, 0]
    padded = F.pad(up, (dilation, dilation))
    return torch.stack([padded[:, tap * dilation : tap * dilation + scale * size] for tap in range(3)])
