"""A 3x3 convolution of an upsampled map, computed where the map is small."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class UpsampledConv3x3(nn.Conv2d):
    """Bilinear upsampling (align_corners=False) followed by a zero-padded 3x3 convolution, as one exact operation.

    (B, C, h, w) to (B, C', scale*h, scale*w). Mixing channels commutes with interpolation, so the nine 1x1 products of
    the kernel run on the small map: h*w*9*C*C' multiplications instead of ``scale**2`` times as many. Interpolation,
    shift by the kernel's tap and zero padding are then two products with constant matrices, along the width and along
    the height. The large upsampled map never exists, in training it need not be kept for the backward pass either.

    Parameters are those of an ordinary ``nn.Conv2d(C, C', 3, padding=1)``; ``plain`` computes the literal form.
    """

    def __init__(self, in_channels: int, out_channels: int, scale: int = 4) -> None:
        super().__init__(in_channels, out_channels, 3, padding=1)
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        return upsampled_conv3x3(x, self.weight, self.bias, self.scale)

    def plain(self, x: Tensor) -> Tensor:
        """Upsample, then convolve: the definition."""
        x = F.interpolate(x, scale_factor=self.scale, mode='bilinear', align_corners=False)
        return F.conv2d(x, self.weight, self.bias, padding=1)


def upsampled_conv3x3(x: Tensor, weight: Tensor, bias: Tensor, scale: int) -> Tensor:
    """See :class:`UpsampledConv3x3`; ``weight`` is (C', C, 3, 3), ``bias`` (C')."""
    (b, _, h, w), out = x.shape, weight.shape[0]
    # One row of the product per (tap along x, output channel, tap along y): the order that needs no copy below.
    taps = weight.permute(3, 0, 2, 1).flatten(0, 2)
    maps = (taps @ x.flatten(2)).view(b, 3, out * 3 * h, w)
    along_x = _tap_matrices(w, scale, maps)
    wide = maps[:, 0] @ along_x[0]
    for tap in (1, 2):
        wide = torch.baddbmm(wide, maps[:, tap], along_x[tap].expand(b, -1, -1))
    along_y = _tap_matrices(h, scale, maps).flatten(0, 1).t()
    return (along_y @ wide.view(b, out, 3 * h, scale * w)) + bias.to(maps)[:, None, None]


def _tap_matrices(size: int, scale: int, like: Tensor) -> Tensor:
    """(3, size, scale*size): for each of three taps, upsampling of a line followed by the tap's shift, zero padded.

    Made anew in each call: it costs microseconds, and a cache would hold tensors of tracers and of inference mode.
    """
    eye = torch.eye(size, dtype=like.dtype, device=like.device)
    up = F.interpolate(eye[:, None], scale_factor=scale, mode='linear', align_corners=False)[:, 0]
    padded = F.pad(up, (1, 1))
    return torch.stack([padded[:, tap : tap + scale * size] for tap in range(3)])
