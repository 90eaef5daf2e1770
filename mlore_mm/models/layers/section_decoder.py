"""A decoder that can be run in sections, so that tasks meet between them."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mlore_mm.models.layers.aspp import ASPP
from mlore_mm.models.ops.doubled_conv import doubled_conv3x3


class ReflectConvELU(nn.Module):
    """Conv3x3 over a border of mirrored pixels, then ELU; (B, C, H, W) to (B, C', H, W)."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 3)

    def forward(self, x: Tensor, skip: Tensor | None = None, doubled: bool = False) -> Tensor:
        """x, and ``skip`` of the same size behind it in the channels, convolved.

        With ``doubled``, x is half as high and wide and every pixel of it counts twice both ways: the part of the
        kernel that reads it works on the small map, which is the same.
        """
        if not doubled:
            return F.elu(self.conv(reflection_pad(x if skip is None else torch.cat([x, skip], dim=1))))
        width = x.shape[1]
        out = doubled_conv3x3(x, self.conv.weight[:, :width], self.conv.bias)
        if skip is not None:
            out = out + F.conv2d(reflection_pad(skip), self.conv.weight[:, width:])
        return F.elu(out)


def reflection_pad(x: Tensor) -> Tensor:
    """A border of one pixel that mirrors the next one inside; a side of one pixel, which has none, is repeated."""
    h, w = x.shape[-2:]
    x = F.pad(x, (1, 1, 0, 0), mode='reflect' if w > 1 else 'replicate')
    return F.pad(x, (0, 0, 1, 1), mode='reflect' if h > 1 else 'replicate')


class SectionDecoder(nn.Module):
    """From the coarsest level of an encoder to twice the resolution of its finest, one scale after the other.

    Scale i ends at the resolution of level i - 1, scale 0 at twice that of level 0. At the coarsest scale x is the
    :class:`ASPP` of the coarsest level, at others a convolution of the scale before. Each scale brings x to the size of
    level i - 1, joins the two and convolves the result.
    Source: the decoders of DenseMTL (Lopes et al., WACV 2023).

    Args:
        in_channels: Channels of the levels 0 to L - 1, fine to coarse.
        channels: Widths of the scales 0 to L - 1.
        dilations: Of the ASPP.
        dropout: Of the ASPP.
    """

    def __init__(
        self, in_channels: Sequence[int], channels: Sequence[int], dilations: Sequence[int], dropout: float
    ) -> None:
        super().__init__()
        self.num_scales = len(channels)
        top = self.num_scales - 1
        self.aspp = ASPP(in_channels[top], channels[top], dilations, dropout)
        # Convolutions in front of the upsampling; at the coarsest scale the ASPP takes this place.
        self.enter = nn.ModuleList(ReflectConvELU(channels[i + 1], channels[i]) for i in range(top))
        skips = [0, *in_channels[:top]]
        self.leave = nn.ModuleList(ReflectConvELU(channels[i] + skips[i], channels[i]) for i in range(self.num_scales))

    def forward(self, scale: int, x: Tensor | None, levels: Sequence[Tensor]) -> Tensor:
        """One scale.

        Args:
            scale: Which.
            x: The feature of the scale before, None at the coarsest.
            levels: Of the encoder, (B, C_l, h_l, w_l), fine to coarse.

        Returns:
            The feature of this scale, (B, C, h, w).
        """
        x = self.aspp(levels[-1]) if x is None else self.enter[scale](x)
        if scale == 0:
            return self.leave[0](x, doubled=True)
        skip = levels[scale - 1]
        if skip.shape[-2:] == (2 * x.shape[-2], 2 * x.shape[-1]):
            return self.leave[scale](x, skip, doubled=True)
        if x.shape[-2:] != skip.shape[-2:]:
            x = F.interpolate(x, size=skip.shape[-2:], mode='nearest')
        return self.leave[scale](x, skip)
