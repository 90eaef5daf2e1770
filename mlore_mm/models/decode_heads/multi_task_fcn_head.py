"""The plain decoder: hard sharing, or a single task."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from mlore_mm.models.decode_heads.base import MultiTaskHead
from mlore_mm.models.features import Features
from mlore_mm.models.layers import PredictionHead
from mlore_mm.models.output import MultiTaskOutput
from mlore_mm.registry import MODELS
from mlore_mm.tasks import TaskSet


@MODELS.register_module()
class MultiTaskFCNHead(MultiTaskHead):
    """One ordinary convolutional head per task on shared features; the baseline that delta_m is measured against.

    The levels are brought to one grid and concatenated; each task has Conv3x3, BN, ReLU, Conv1x1 of its own, with a
    :class:`PredictionHead` for the last one where the logits are to be finer than that grid.

    Args:
        tasks: The model's tasks in order; the segmentor hands them in.
        in_channels: Channels of the used levels.
        embed_dims: Width of each task's head.
        scale: Factor from that grid to the logits'; 4 brings stride 16 to stride 4, as in MLoRE.
        in_index: Levels taken from the backbone.
        reference_level: Which of them sets the grid.
        init_cfg: As in mmengine.
    """

    auxiliary_groups = ()

    def __init__(
        self,
        tasks: TaskSet | Mapping,
        in_channels: Sequence[int],
        embed_dims: int = 256,
        scale: int = 1,
        in_index: Sequence[int] | None = None,
        reference_level: int = 0,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(tasks, in_channels, in_index, reference_level, init_cfg)
        width = sum(self.in_channels)
        self.heads = nn.ModuleDict(
            {name: self._make_head(width, embed_dims, task.out_channels, scale) for name, task in self.tasks.items()}
        )

    @staticmethod
    def _make_head(width: int, embed_dims: int, out_channels: int, scale: int) -> nn.Sequential:
        return nn.Sequential(
            nn.Conv2d(width, embed_dims, 3, padding=1, bias=False),
            nn.BatchNorm2d(embed_dims),
            nn.ReLU(),
            nn.Conv2d(embed_dims, out_channels, 1) if scale == 1 else PredictionHead(embed_dims, out_channels, scale),
        )

    def forward(self, feats: Features, tasks: Sequence[str] | None = None) -> MultiTaskOutput:
        """Levels (B, C_l, h_l, w_l), shared or per task, to logits (B, C_t, scale*h, scale*w) per task."""
        tasks = self.active_tasks(tasks)
        feats = Features.wrap(feats)
        if feats.is_shared:
            joined = dict.fromkeys(tasks, self._join(self.select(feats)))
        else:
            joined = {task: self._join(self.select(feats, task)) for task in tasks}
        return MultiTaskOutput(logits={task: self.heads[task](joined[task]) for task in tasks})

    def _join(self, levels: Sequence[Tensor]) -> Tensor:
        return torch.cat(self.to_reference(levels), dim=1)
