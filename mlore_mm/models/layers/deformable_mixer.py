"""Mixes channels and looks aside: a 1x1 convolution whose every channel is sampled at its own displaced position."""

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

KINDS = ('deform', 'dwconv', 'none')


class DeformableMixer(BaseModule):
    """``depth`` times Conv1x1, GELU, BN and a residual branch BN(GELU(DC(x))): (B, C, h, w) to the same.

    Source: the deformable mixer of DeMT (Xu et al., AAAI 2023), simplified.
    Differs: no absolute positions enter the offsets, which would tie them to the image size.

    Args:
        embed_dims: C.
        depth: Number of repetitions.
        kind: What DC is: 'deform', 'dwconv' (a depth-wise 3x3 and a 1x1 convolution, ordinary operations only), or
            'none' for no mixer at all.
        offset_dims: Channels between the two convolutions that give the offsets, an even number.
    """

    def __init__(self, embed_dims: int, depth: int = 2, kind: str = 'deform', offset_dims: int = 18) -> None:
        super().__init__()
        if kind not in KINDS:
            raise ValueError(f'mixer is one of {KINDS}, but got {kind!r}.')

        def branch() -> nn.Module:
            if kind == 'deform':
                return DeformablePointConv(embed_dims, offset_dims)
            depthwise = nn.Conv2d(embed_dims, embed_dims, 3, padding=1, groups=embed_dims)
            return nn.Sequential(depthwise, nn.Conv2d(embed_dims, embed_dims, 1))

        self.blocks = nn.ModuleList(
            nn.ModuleDict(
                dict(
                    mix=nn.Sequential(nn.Conv2d(embed_dims, embed_dims, 1), nn.GELU(), nn.BatchNorm2d(embed_dims)),
                    look=nn.Sequential(branch(), nn.GELU(), nn.BatchNorm2d(embed_dims)),
                )
            )
            for _ in range(0 if kind == 'none' else depth)
        )

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block['mix'](x)
            x = x + block['look'](x)
        return x


class DeformablePointConv(BaseModule):
    """A 1x1 convolution after every channel was sampled at its own displaced position, (B, C, h, w) to the same.

    Positions are in pixels and bilinear, outside of the map there is zero. The offsets begin at zero, so it starts as
    an ordinary 1x1 convolution. It is a deformable convolution with a 1x1 kernel and C offset groups.

    Args:
        embed_dims: C.
        offset_dims: Channels between the two convolutions that give the offsets.
    """

    def __init__(self, embed_dims: int, offset_dims: int = 18) -> None:
        super().__init__()
        self.offset = nn.Sequential(
            nn.Conv2d(embed_dims, offset_dims, 3, padding=1),
            nn.Conv2d(offset_dims, 2 * embed_dims, 3, padding=1, groups=2),
        )
        self.point = nn.Conv2d(embed_dims, embed_dims, 1)
        self.reset_offsets()

    def reset_offsets(self) -> None:
        """No displacement."""
        nn.init.zeros_(self.offset[1].weight)
        nn.init.zeros_(self.offset[1].bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.point(sample_displaced(x, self.offset(x)))


def sample_displaced(x: Tensor, offsets: Tensor) -> Tensor:
    """Every channel at its own positions: (B, C, h, w) and offsets (B, 2*C, h, w), first all of y, then all of x."""
    b, c, h, w = x.shape
    rows = torch.arange(h, dtype=offsets.dtype, device=x.device)[:, None]
    columns = torch.arange(w, dtype=offsets.dtype, device=x.device)
    y, x_position = offsets.unflatten(1, (2, c)).unbind(1)
    # align_corners=True: -1 and 1 are the centres of the first and the last pixel.
    grid = torch.stack(
        [2 * (x_position + columns) / max(w - 1, 1) - 1, 2 * (y + rows) / max(h - 1, 1) - 1], dim=-1
    ).flatten(0, 1)
    maps = x.reshape(b * c, 1, h, w)
    return F.grid_sample(maps, grid.to(maps.dtype), mode='bilinear', align_corners=True).view(b, c, h, w)
