"""Atrous spatial pyramid pooling: one map seen with several fields of view."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ASPP(nn.Module):
    """Conv1x1, dilated Conv3x3s and the mean of the map side by side, each with BN and ReLU; then joined by a Conv1x1.

    (B, C, H, W) to (B, C', H, W). The convolutions have no bias, the last one is followed by BN, ReLU and dropout.
    Source: DeepLabv3 (Chen et al., 2017).

    Args:
        in_channels: C.
        channels: C', of every branch and of the result.
        dilations: One dilated convolution for each.
        dropout: Probability after the last ReLU.
    """

    def __init__(
        self, in_channels: int, channels: int, dilations: Sequence[int] = (6, 12, 18), dropout: float = 0.5
    ) -> None:
        super().__init__()
        self.point = _conv_bn_relu(in_channels, channels)
        self.dilated = nn.ModuleList(_conv_bn_relu(in_channels, channels, d) for d in dilations)
        self.pooled = _conv_bn_relu(in_channels, channels)
        self.project = _conv_bn_relu((len(dilations) + 2) * channels, channels)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        mean = self.pooled(F.adaptive_avg_pool2d(x, 1)).expand(-1, -1, *x.shape[-2:])
        branches = [self.point(x), *(conv(x) for conv in self.dilated), mean]
        return self.dropout(self.project(torch.cat(branches, dim=1)))


def _conv_bn_relu(in_channels: int, channels: int, dilation: int = 0) -> nn.Sequential:
    """A Conv1x1, or a dilated Conv3x3 that keeps the size."""
    size = dict(kernel_size=3, padding=dilation, dilation=dilation) if dilation else dict(kernel_size=1)
    return nn.Sequential(nn.Conv2d(in_channels, channels, bias=False, **size), nn.BatchNorm2d(channels), nn.ReLU())
