"""Brings the channels of an encoder's levels to one scale."""

from collections.abc import Mapping, Sequence

from mmengine.model import BaseModule
from torch import Tensor, nn

from mlore_mm.registry import MODELS


@MODELS.register_module()
class LevelNorm(BaseModule):
    """A neck: batch norm without scale and shift for every channel of every level, of its own size and place.

    A frozen encoder's channels are of very different scales, a few of them many times as large as the others, also
    behind its final norm. A decoder's narrow first layer sees little but those.
    Source: the linear head of DINOv2 (Oquab et al., TMLR 2024), here without the learned scale.

    Args:
        in_channels: Channels of the levels.
        then: Config of a neck behind it. The head's ``in_channels`` are then to be given.

    Raises:
        ValueError: Another number of levels than ``in_channels`` has.
    """

    def __init__(self, in_channels: Sequence[int], then: Mapping | None = None, init_cfg: dict | None = None) -> None:
        super().__init__(init_cfg)
        self.norms = nn.ModuleList(nn.BatchNorm2d(channels, affine=False) for channels in in_channels)
        self.then = MODELS.build(dict(then)) if then else None

    @property
    def keeps_levels(self) -> bool:
        """Channels and strides are the encoder's, so that a head can be told those."""
        return self.then is None

    def forward(self, levels: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Levels (B, C_l, h_l, w_l) to the same, or to those of the neck behind."""
        if len(levels) != len(self.norms):
            raise ValueError(
                f'LevelNorm has in_channels of {len(self.norms)} levels, but the encoder has {len(levels)}: set '
                "model.neck.in_channels, or the encoder's out_indices."
            )
        normed = tuple(norm(level) for norm, level in zip(self.norms, levels, strict=True))
        return normed if self.then is None else tuple(self.then(normed))
