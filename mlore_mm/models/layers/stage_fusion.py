"""Weighs the stages of the decoder against each other at every pixel."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from mlore_mm.models.layers.task_modules import TaskModules


class StageFusion(BaseModule):
    """Sum of the S stages' features under a per-pixel softmax over stages, a set of weights per task.

    ``M = softmax_S(Conv3x3(GELU(BN(Conv1x1(concat of stages)))))`` and the result is ``sum_l M_l * Y_l``.
    Source: MLoRE (Yang et al., CVPR 2024), the published code's ``task_mask``.

    Args:
        tasks: Names of the tasks.
        embed_dims: D.
        num_stages: S.
    """

    def __init__(self, tasks: Sequence[str], embed_dims: int, num_stages: int) -> None:
        super().__init__()
        self.squeeze = TaskModules(tasks, lambda: nn.Conv2d(num_stages * embed_dims, embed_dims, 1))
        self.norm = TaskModules(tasks, lambda: nn.BatchNorm2d(embed_dims))
        self.score = TaskModules(tasks, lambda: nn.Conv2d(embed_dims, num_stages, 3, padding=1))

    def forward(self, stages: Sequence[Tensor], task: str) -> Tensor:
        """S features (B, D, h, w) of one task to one."""
        x = self.norm[task](self.squeeze[task](torch.cat(list(stages), dim=1)))
        weights = self.score[task](F.gelu(x)).softmax(dim=1)
        return sum(weights[:, i : i + 1] * stage for i, stage in enumerate(stages))
