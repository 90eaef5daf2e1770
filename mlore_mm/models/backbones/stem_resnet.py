"""A ResNet that also returns what its stem gives."""

from mmseg.models.backbones import ResNet
from torch import Tensor

from mlore_mm.registry import MODELS


@MODELS.register_module()
class StemResNet(ResNet):
    """mmsegmentation's ResNet with one more level in front: the stem's map, at half the resolution of the image.

    Images (B, 3, H, W) to levels of strides 2, 4, 8, 16 and 32, or other ones by ``strides`` and ``dilations``; names
    of parameters are those of ResNet, so that pre-trained weights load.
    Source: the encoder of DenseMTL (Lopes et al., WACV 2023), ``depth=101, strides=(1, 2, 2, 1),
    dilations=(1, 1, 1, 2), contract_dilation=True``.

    Args:
        kwargs: As of ResNet; ``out_indices`` counts its stages, and the stem's map always comes first.
    """

    @property
    def level_channels(self) -> list[int]:
        """Channels of the stem's map, and of the stages that are returned."""
        widths = [self.base_channels * 2**i * self.block.expansion for i in self.out_indices]
        return [self.stem_channels, *widths]

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        x = self.stem(x) if self.deep_stem else self.relu(self.norm1(self.conv1(x)))
        levels = [x]
        x = self.maxpool(x)
        for i, name in enumerate(self.res_layers):
            x = getattr(self, name)(x)
            if i in self.out_indices:
                levels.append(x)
        return tuple(levels)
