"""The routers of a MLoRE block: which experts a task uses for an image."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from mlore_mm.models.layers.task_modules import TaskConv1x1, TaskModules
from mlore_mm.models.ops.full_precision import without_autocast
from mlore_mm.routing.top_k_gate import Routing, TopKGate


class BlockRouting(NamedTuple):
    """What the routers of a block decided for T tasks.

    Attributes:
        experts: Which shared experts, each tensor (T, B, N).
        factor: m (T, B), the weight of the task's own expert.
    """

    experts: Routing
    factor: Tensor

    @property
    def gates(self) -> Tensor:
        """Weights of the shared experts (T, B, N), zero for those that were not chosen."""
        return self.experts.gates

    def record(self, layer: str, tasks: Sequence[str]) -> None:
        """Write every task's to the open trace."""
        for i, task in enumerate(tasks):
            self.experts.of(i).record(layer, task)


class TaskRouter(BaseModule):
    """One router per task, all tasks computed together.

    Each sees the features twice: ``channel`` summarises what is in the image (per-pixel MLP, mean over pixels),
    ``pixel`` where it is (one learned weight per pixel of the grid, shared by the channels). Computed in the weights'
    precision, that is in fp32 under AMP.

    Source: MLoRE (Yang et al., CVPR 2024), Sec. 3.2.

    Args:
        tasks: Names of the tasks.
        embed_dims: D, divisible by 4.
        num_experts: N.
        grid: (h, w) of the feature map for which the pixel weights are stored; other sizes get them resampled.
        gate: Config of :class:`TopKGate`.
    """

    def __init__(self, tasks: Sequence[str], embed_dims: int, num_experts: int, grid: tuple, gate: dict) -> None:
        super().__init__()
        if embed_dims % 4:
            raise ValueError(f'TaskRouter needs embed_dims divisible by 4, but got {embed_dims}.')
        quarter, (h, w) = embed_dims // 4, grid
        self.num_experts, self.grid = num_experts, (h, w)
        self.channel_in = TaskConv1x1(tasks, embed_dims, quarter)
        self.channel_norm = TaskModules(tasks, lambda: nn.LayerNorm(quarter))
        self.channel_out = TaskConv1x1(tasks, quarter, quarter)
        self.pixel_weight = TaskModules(tasks, lambda: nn.Linear(h * w, 1))
        self.pixel_norm = TaskModules(tasks, lambda: nn.LayerNorm(embed_dims))
        self.pixel_out = TaskConv1x1(tasks, embed_dims, quarter)
        self.logits = TaskConv1x1(tasks, 2 * quarter, 2 * num_experts + 1)
        self.gate = TopKGate(**gate)

    def forward(self, u: Tensor, tasks: Sequence[str]) -> BlockRouting:
        """Features (T, B, D, h, w) to gates (T, B, N) and the task expert's factor m, (T, B)."""
        with without_autocast(u):
            u = u.to(self.logits.dtype)  # autocast hands over half precision, the weights stay in fp32
            z = torch.cat([self._channel_features(u, tasks), self._pixel_features(u, tasks)], dim=-1)
            n = self.num_experts
            rho, sigma, m = _linear(self.logits, z, tasks).split([n, n, 1], dim=-1)
            return BlockRouting(self.gate(rho, sigma), m.squeeze(-1))

    def _channel_features(self, u: Tensor, tasks: Sequence[str]) -> Tensor:
        """(T, B, D, h, w) to (T, B, D/4)."""
        x = u.flatten(3).transpose(2, 3)  # pixels as rows, so that the norm runs over the last axis
        weight = self.channel_in.stack(tasks, 'weight').flatten(2)
        x = x @ weight.transpose(1, 2)[:, None] + self.channel_in.stack(tasks, 'bias')[:, None, None]
        x = F.gelu(_layer_norm(self.channel_norm, x, tasks))
        return _linear(self.channel_out, x.mean(dim=2), tasks)  # linear, so the mean may come first

    def _pixel_features(self, u: Tensor, tasks: Sequence[str]) -> Tensor:
        """(T, B, D, h, w) to (T, B, D/4)."""
        weight = self._resampled_pixel_weight(u.shape[-2:], tasks)
        x = (u.flatten(3) @ weight[:, None, :, None]).squeeze(-1) + self.pixel_weight.stack(tasks, 'bias')[:, None]
        x = F.gelu(_layer_norm(self.pixel_norm, x, tasks))
        return _linear(self.pixel_out, x, tasks)

    def _resampled_pixel_weight(self, size, tasks: Sequence[str]) -> Tensor:
        """(T, h*w) weights for a feature map of ``size``; their sum over the image is kept on another grid."""
        weight = self.pixel_weight.stack(tasks, 'weight').squeeze(1)
        h, w = self.grid
        if tuple(size) == (h, w):
            return weight
        maps = F.interpolate(weight.view(1, -1, h, w), size=tuple(size), mode='bilinear', align_corners=False)
        return maps.flatten(2)[0] * (h * w / (size[0] * size[1]))

    def init_weights(self) -> None:
        super().init_weights()
        for linear in self.pixel_weight.values():
            nn.init.trunc_normal_(linear.weight, std=0.02)
            nn.init.zeros_(linear.bias)


def _linear(modules: TaskConv1x1, x: Tensor, tasks: Sequence[str]) -> Tensor:
    """The 1x1 convolutions applied to vectors: (T, B, C) to (T, B, C')."""
    return torch.baddbmm(
        modules.stack(tasks, 'bias')[:, None], x, modules.stack(tasks, 'weight').flatten(2).transpose(1, 2)
    )


def _layer_norm(modules: TaskModules, x: Tensor, tasks: Sequence[str]) -> Tensor:
    """LayerNorm over the last axis with each task's own scale and shift; x is (T, ..., C)."""
    return modules.each(tasks, x)
