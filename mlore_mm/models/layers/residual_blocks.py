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
        stride: Of the first convolution, and of the shortcut.
        dilations: Of the first and of the second convolution.
    """

    expansion = 1

    def __init__(
        self,
        in_channels: int,
        channels: int,
        shortcut_conv: bool | None = None,
        stride: int = 1,
        dilations: tuple[int, int] = (1, 1),
    ) -> None:
        super().__init__()
        self.conv1, self.bn1 = conv3x3(in_channels, channels, stride, dilations[0]), nn.BatchNorm2d(channels)
        self.conv2, self.bn2 = conv3x3(channels, channels, 1, dilations[1]), nn.BatchNorm2d(channels)
        self.downsample = make_shortcut(in_channels, channels, shortcut_conv, stride)

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
        stride: Of the Conv3x3, and of the shortcut.
        dilations: The first one is that of the Conv3x3.

    Raises:
        ValueError: C is not a multiple of 4.
    """

    expansion = 4

    def __init__(
        self,
        in_channels: int,
        channels: int,
        shortcut_conv: bool | None = None,
        stride: int = 1,
        dilations: tuple[int, ...] = (1, 1),
    ) -> None:
        super().__init__()
        if channels % 4:
            raise ValueError(f'A bottleneck block needs a width that is a multiple of 4, but got {channels}.')
        width = channels // 4
        self.conv1, self.bn1 = conv1x1(in_channels, width), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = conv3x3(width, width, stride, dilations[0]), nn.BatchNorm2d(width)
        self.conv3, self.bn3 = conv1x1(width, channels), nn.BatchNorm2d(channels)
        self.downsample = make_shortcut(in_channels, channels, shortcut_conv, stride)

    def forward(self, x: Tensor) -> Tensor:
        out = self.bn1(self.conv1(x)).relu()
        out = self.bn2(self.conv2(out)).relu()
        return (self.bn3(self.conv3(out)) + self.downsample(x)).relu()


def conv1x1(in_channels: int, channels: int, stride: int = 1) -> nn.Conv2d:
    """Without bias."""
    return nn.Conv2d(in_channels, channels, 1, stride=stride, bias=False)


def conv3x3(in_channels: int, channels: int, stride: int = 1, dilation: int = 1) -> nn.Conv2d:
    """Without bias, keeping the size but for the stride."""
    return nn.Conv2d(in_channels, channels, 3, stride, padding=dilation, dilation=dilation, bias=False)


def make_shortcut(in_channels: int, channels: int, conv: bool | None = None, stride: int = 1) -> nn.Module:
    """Identity, or Conv1x1 and BN; by default as widths and stride ask for."""
    if conv is None:
        conv = in_channels != channels or stride != 1
    if not conv:
        return nn.Identity()
    return nn.Sequential(conv1x1(in_channels, channels, stride), nn.BatchNorm2d(channels))
