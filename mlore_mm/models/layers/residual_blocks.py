"""The two residual blocks of ResNet, with a shortcut that follows the widths."""

from torch import Tensor, nn


class BasicBlock(nn.Module):
    """Conv3x3, BN, ReLU, Conv3x3, BN, plus the shortcut, ReLU: (B, C_in, H, W) to (B, C, H, W).

    The shortcut is the identity where C_in equals C, else Conv1x1 and BN. No convolution has a bias.
    Source: ResNet (He et al., CVPR 2016), as in MTI-Net (Vandenhende et al., ECCV 2020).

    Args:
        in_channels: C_in.
        channels: C.
        shortcut_conv: Put the convolution on the shortcut; by default where the widths differ.
    """

    def __init__(self, in_channels: int, channels: int, shortcut_conv: bool | None = None) -> None:
        super().__init__()
        self.conv1, self.bn1 = conv3x3(in_channels, channels), nn.BatchNorm2d(channels)
        self.conv2, self.bn2 = conv3x3(channels, channels), nn.BatchNorm2d(channels)
        self.downsample = make_shortcut(in_channels, channels, shortcut_conv)

    def forward(self, x: Tensor) -> Tensor:
        out = self.bn1(self.conv1(x)).relu()
        return (self.bn2(self.conv2(out)) + self.downsample(x)).relu()


class BottleneckBlock(nn.Module):
    """Conv1x1 to C/4, BN, ReLU, Conv3x3, BN, ReLU, Conv1x1 to C, BN, plus the shortcut, ReLU.

    Shortcut and source as in :class:`BasicBlock`.

    Args:
        in_channels: C_in.
        channels: C, a multiple of 4.
        shortcut_conv: See :class:`BasicBlock`.

    Raises:
        ValueError: C is not a multiple of 4.
    """

    def __init__(self, in_channels: int, channels: int, shortcut_conv: bool | None = None) -> None:
        super().__init__()
        if channels % 4:
            raise ValueError(f'A bottleneck block needs a width that is a multiple of 4, but got {channels}.')
        width = channels // 4
        self.conv1, self.bn1 = conv1x1(in_channels, width), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = conv3x3(width, width), nn.BatchNorm2d(width)
        self.conv3, self.bn3 = conv1x1(width, channels), nn.BatchNorm2d(channels)
        self.downsample = make_shortcut(in_channels, channels, shortcut_conv)

    def forward(self, x: Tensor) -> Tensor:
        out = self.bn1(self.conv1(x)).relu()
        out = self.bn2(self.conv2(out)).relu()
        return (self.bn3(self.conv3(out)) + self.downsample(x)).relu()


def conv1x1(in_channels: int, channels: int) -> nn.Conv2d:
    """Without bias."""
    return nn.Conv2d(in_channels, channels, 1, bias=False)


def conv3x3(in_channels: int, channels: int) -> nn.Conv2d:
    """Without bias, keeping the size."""
    return nn.Conv2d(in_channels, channels, 3, padding=1, bias=False)


def make_shortcut(in_channels: int, channels: int, conv: bool | None = None) -> nn.Module:
    """Identity, or Conv1x1 and BN; by default as the widths ask for."""
    if conv is None:
        conv = in_channels != channels
    return nn.Sequential(conv1x1(in_channels, channels), nn.BatchNorm2d(channels)) if conv else nn.Identity()
