"""ResNet at output stride 8, stage by stage."""

from collections.abc import Sequence

import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from mlore_mm.models.layers.residual_blocks import BasicBlock, BottleneckBlock
from mlore_mm.registry import MODELS

DEPTHS = {18: (BasicBlock, (2, 2, 2, 2)), 34: (BasicBlock, (3, 4, 6, 3)), 50: (BottleneckBlock, (3, 4, 6, 3))}
DEPTHS[101] = (BottleneckBlock, (3, 4, 23, 3))


@MODELS.register_module()
class DilatedResNet(BaseModule):
    """Images to levels of strides 4, 8, 8, 8; names of parameters are torchvision's, so that its weights load.

    In the last two stages strides became dilations: in stage 3 the formerly strided convolution has dilation 1 and all
    other 3x3 ones 2, in stage 4 it is 2 and 4. Basic blocks are dilated too, which torchvision and mmsegmentation do
    not do.
    Source: the encoder of the sharing networks in the code of Vandenhende et al. (TPAMI 2021).

    Args:
        depth: 18, 34, 50 or 101.
        stem_channels: Width of the first convolution.
        planes: Widths of the stages; the outputs of bottlenecks have four times as many channels.
        blocks: Blocks of each stage, where they differ from the depth's.
        out_indices: Stages to return, from 0.
        init_cfg: As in mmengine.

    Raises:
        ValueError: Another depth.
    """

    def __init__(
        self,
        depth: int = 50,
        stem_channels: int = 64,
        planes: Sequence[int] = (64, 128, 256, 512),
        blocks: Sequence[int] | None = None,
        out_indices: Sequence[int] = (3,),
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if depth not in DEPTHS:
            raise ValueError(f'DilatedResNet has a depth of {sorted(DEPTHS)}, but got {depth}.')
        block, numbers = DEPTHS[depth]
        self.out_indices = tuple(out_indices)
        self.conv1 = nn.Conv2d(3, stem_channels, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(stem_channels)
        self.stage_channels = {'stem': stem_channels}
        width = stem_channels
        for i, (n, p) in enumerate(zip(blocks or numbers, planes, strict=True)):
            channels = p * block.expansion
            self.add_module(f'layer{i + 1}', _stage(block, width, channels, n, i))
            self.stage_channels[f'layer{i + 1}'] = width = channels

    def stem(self, x: Tensor) -> Tensor:
        """Convolution, BN, ReLU and max pooling: stride 4."""
        return F.max_pool2d(self.bn1(self.conv1(x)).relu(), 3, stride=2, padding=1)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        levels = []
        for stage in self.stage_channels:
            x = getattr(self, stage)(x)
            levels.append(x)
        return tuple(levels[1 + i] for i in self.out_indices)


def _stage(block: type, in_channels: int, channels: int, number: int, index: int) -> nn.Sequential:
    stride, rate = (1, 2, 1, 1)[index], (1, 1, 2, 4)[index]
    # A stage that had a stride has a convolution on its shortcut, also where the widths are the same.
    shortcut = True if index else None
    first = block(in_channels, channels, shortcut, stride, (max(rate // 2, 1), rate))
    return nn.Sequential(first, *(block(channels, channels, None, 1, (rate, rate)) for _ in range(number - 1)))
