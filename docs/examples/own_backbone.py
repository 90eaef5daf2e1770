"""A backbone of one's own: four levels of strided convolutions."""

from collections.abc import Sequence

from mmengine.model import BaseModule
from torch import Tensor, nn

from mlore_mm.registry import MODELS


@MODELS.register_module()
class StridedConvNet(BaseModule):
    """Images (B, 3, H, W) to one map per level: strides 4, 8, 16, 32 and ``widths`` channels.

    All that the framework asks of a backbone is this: called with a batch, it returns a tuple of maps. One that looks
    at its input differently for each task sets ``call_mode = 'per_task'`` and takes ``forward(x, task_id)``; one that
    holds something of each task sets ``call_mode = 'owner'`` and takes ``forward(x, tasks)``, the names.
    """

    def __init__(self, widths: Sequence[int] = (16, 32, 64, 128), init_cfg: dict | None = None) -> None:
        super().__init__(init_cfg)
        strides = (4, *[2] * (len(widths) - 1))
        inputs = (3, *widths[:-1])
        self.levels = nn.ModuleList(map(self._level, inputs, widths, strides))

    @staticmethod
    def _level(in_channels: int, out_channels: int, stride: int) -> nn.Sequential:
        return nn.Sequential(
            nn.Conv2d(in_channels, out_channels, stride, stride),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(),
            nn.Conv2d(out_channels, out_channels, 3, padding=1),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(),
        )

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        maps = []
        for level in self.levels:
            x = level(x)
            maps.append(x)
        return tuple(maps)
