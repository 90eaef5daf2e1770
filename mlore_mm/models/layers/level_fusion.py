"""HRNet's way to read all levels at once."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mlore_mm.registry import MODELS


class LevelFusion(nn.Module):
    """Levels brought to the finest grid (bilinear) and concatenated, Conv1x1, BN, ReLU: C is the sum of the widths.

    Source: HRNetV2 (Wang et al., TPAMI 2021), as in MTI-Net (Vandenhende et al., ECCV 2020).

    Args:
        in_channels: Widths of the levels, fine to coarse.
    """

    def __init__(self, in_channels: Sequence[int]) -> None:
        super().__init__()
        self.in_channels = list(in_channels)
        self.channels = sum(in_channels)
        self.conv = nn.Conv2d(self.channels, self.channels, 1)
        self.norm = nn.BatchNorm2d(self.channels)

    def forward(self, levels: Sequence[Tensor]) -> Tensor:
        """Levels (B, C_l, h_l, w_l), fine to coarse, to (B, C, h_0, w_0)."""
        size = levels[0].shape[-2:]
        x = torch.cat([levels[0], *(upsample(level, size) for level in levels[1:])], dim=1)
        return self.norm(self.conv(x)).relu()


@MODELS.register_module()
class LevelFusionHead(nn.Module):
    """:class:`LevelFusion` and Conv1x1 to the outputs of a task; in ``PerTaskHead`` the baseline on HRNet.

    Args:
        in_channels: Widths of the levels, fine to coarse.
        out_channels: Channels of the logits.
    """

    def __init__(self, in_channels: Sequence[int], out_channels: int) -> None:
        super().__init__()
        self.fuse = LevelFusion(in_channels)
        self.predict = nn.Conv2d(self.fuse.channels, out_channels, 1)

    def forward(self, levels: Sequence[Tensor]) -> Tensor:
        """Levels (B, C_l, h_l, w_l), fine to coarse, to logits (B, out_channels, h_0, w_0)."""
        return self.predict(self.fuse(levels))


def upsample(x: Tensor, size: Sequence[int]) -> Tensor:
    """Bilinear, to the size (h, w); the map itself where it has that size."""
    if tuple(x.shape[-2:]) == tuple(size):
        return x
    return F.interpolate(x, size=tuple(size), mode='bilinear', align_corners=False)
