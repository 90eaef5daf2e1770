"""Brings the stages of a pyramid of tokens together and predicts."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from mlore_mm.models.layers.task_modules import TaskModules
from mlore_mm.models.ops.upsampled_conv import Upsampled, conv3x3_of_sum


class PyramidSum(BaseModule):
    """Norm over all tasks' channels, Conv1x1 per task, sum of the enlarged stages, Conv3x3, BN, ReLU, Conv1x1.

    The first stage has the channels of the sum already and no Conv1x1. Source: InvPT (Ye and Xu, ECCV 2022).
    Differs: the sum is never built. Both convolutions and the interpolation are linear, so each stage is convolved at
    its own size (a fifth of the multiplications), see :func:`conv3x3_of_sum`; the same numbers.

    Args:
        out_channels: Task to channels of its logits.
        stage_dims: D_s of every stage; the first one is the width of the sum.
    """

    def __init__(self, out_channels: dict[str, int], stage_dims: Sequence[int]) -> None:
        super().__init__()
        tasks, width = list(out_channels), stage_dims[0]
        self.tasks = tasks
        self.norms = nn.ModuleList(nn.LayerNorm(len(tasks) * dims) for dims in stage_dims)
        self.project = nn.ModuleList(
            TaskModules(tasks, lambda dims=dims: nn.Conv2d(dims, width, 1)) for dims in stage_dims[1:]
        )
        self.conv = TaskModules(tasks, lambda: nn.Conv2d(width, width, 3, padding=1))
        self.norm = TaskModules(tasks, lambda: nn.BatchNorm2d(width))
        self.predict = nn.ModuleDict({task: nn.Conv2d(width, n, 1) for task, n in out_channels.items()})

    def forward(self, stages: Sequence[Tensor], tasks: Sequence[str]) -> dict[str, Tensor]:
        """Tokens (T, B, H_s, W_s, D_s) of all tasks, coarse to fine and each twice the size of the one before.

        Returns:
            Logits (B, C, 2 H, 2 W) of the named tasks, with the size of the last stage for H and W.
        """
        normed = [self._norm(norm, tokens) for norm, tokens in zip(self.norms, stages, strict=True)]
        return {task: self._predict(normed, task) for task in tasks}

    @staticmethod
    def _norm(norm: nn.LayerNorm, tokens: Tensor) -> Tensor:
        """(T, B, H, W, D) to maps (B, T, D, H, W), normed over T and D at each pixel."""
        joined = torch.cat(tokens.unbind(0), dim=-1)
        return norm(joined).unflatten(-1, (len(tokens), -1)).permute(0, 3, 4, 1, 2)

    def _predict(self, normed: Sequence[Tensor], task: str) -> Tensor:
        index, terms = self.tasks.index(task), []
        for s, maps in enumerate(normed):
            point = self.project[s - 1][task] if s else None
            terms.append(
                Upsampled(
                    maps[:, index],
                    scale=2 ** (len(normed) - s),
                    weight=point.weight[:, :, 0, 0] if point else None,
                    bias=point.bias if point else None,
                )
            )
        x = conv3x3_of_sum(terms, self.conv[task].weight, self.conv[task].bias)
        return self.predict[task](F.relu(self.norm[task](x)))

    def init_weights(self) -> None:
        super().init_weights()
        for conv in self.conv.values():
            nn.init.trunc_normal_(conv.weight, std=0.02)
