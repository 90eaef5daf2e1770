"""The DeepLabv3 decoder of one task."""

from collections.abc import Sequence

from torch import Tensor, nn

from mlore_mm.models.layers import ASPP
from mlore_mm.registry import MODELS


@MODELS.register_module()
class DeepLabHead(nn.Module):
    """ASPP, Conv3x3, BN, ReLU and Conv1x1 on the coarsest level: the last of the levels to logits (B, C, h, w).

    One per task in a :class:`PerTaskHead`.
    Source: DeepLabv3 (Chen et al., 2017), as the single-task and the multi-task baseline of DenseMTL (Lopes et al.,
    WACV 2023). Logits are brought to the size of the image by the segmentor, bilinearly.

    Args:
        in_channels: Of the level.
        out_channels: C.
        channels: Width.
        dilations: Of the ASPP.
        dropout: Of the ASPP.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        channels: int = 256,
        dilations: Sequence[int] = (12, 24, 36),
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        self.aspp = ASPP(in_channels, channels, dilations, dropout)
        self.conv = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(channels)
        self.predict = nn.Conv2d(channels, out_channels, 1)

    def forward(self, levels: Sequence[Tensor]) -> Tensor:
        return self.predict(self.norm(self.conv(self.aspp(levels[-1]))).relu())
