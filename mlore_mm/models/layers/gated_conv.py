"""A convolution whose output passes through a gate that looks at the same input."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class GatedConv(nn.Module):
    """``sigmoid(Conv3x3(x)) * Conv3x3(x)``, (B, C, H, W) to (B, C', H, W); neither convolution has a bias.

    The two are computed as one.
    Source: the self-attention of DenseMTL (Lopes et al., WACV 2023).
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.gate = nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False)
        self.value = nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        both = F.conv2d(x, torch.cat([self.gate.weight, self.value.weight]), padding=1)
        gate, value = both.chunk(2, dim=1)
        return gate.sigmoid() * value
