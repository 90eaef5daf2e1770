"""One MoE block of MLoRE: all tasks in, all tasks out."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from mlore_mm.models.layers.low_rank_expert import LowRankExpert, LowRankExpertBank
from mlore_mm.models.layers.router_trace import record_routing
from mlore_mm.models.layers.task_modules import TaskConv1x1, TaskModules
from mlore_mm.models.layers.task_router import TaskRouter


class MLoREBlock(BaseModule):
    """Mixture of low-rank experts with a generic path, for T tasks at once.

    For task t: ``u = conv1x1_t(x)``; gates g and factor m from t's router; ``E = sum_i g_i expert_i(u)``;
    ``y = GELU(BN_b(BN_a(E) + m * task_expert_t(u) + generic(stop_gradient(u))))``; output ``conv1x1_t(y)``.
    Experts and the generic convolution are shared by the tasks, everything else is per task.

    In evaluation without gradients everything between ``u`` and the GELU is linear and is computed as one convolution
    per sample and task, see ``folded``.

    Source: MLoRE (Yang et al., CVPR 2024), Sec. 3 and Fig. 3.

    Args:
        tasks: Names of the tasks.
        embed_dims: D.
        ranks: Ranks of the N shared experts.
        task_rank: Rank of the task-specific expert.
        grid: (h, w) of the feature map at the training size, for the routers' pixel weights.
        gate: Config of :class:`TopKGate`.
        name: Layer name in routing records.
        detach_generic: The gradient of the generic path reaches its own weights only, as in the published code; False
            lets it reach the features as well.
    """

    def __init__(
        self,
        tasks: Sequence[str],
        embed_dims: int,
        ranks: Sequence[int],
        task_rank: int,
        grid: tuple[int, int],
        gate: dict,
        name: str = '',
        detach_generic: bool = True,
    ) -> None:
        super().__init__()
        self.name, self.detach_generic = name, detach_generic
        self.conv_in = TaskConv1x1(tasks, embed_dims, embed_dims)
        self.router = TaskRouter(tasks, embed_dims, len(ranks), grid, gate)
        self.experts = LowRankExpertBank(embed_dims, ranks)
        self.task_expert = TaskModules(tasks, lambda: LowRankExpert(embed_dims, task_rank))
        self.generic_conv = nn.Conv2d(embed_dims, embed_dims, 3, padding=1)
        self.norm_experts = TaskModules(tasks, lambda: nn.BatchNorm2d(embed_dims))
        self.norm = TaskModules(tasks, lambda: nn.BatchNorm2d(embed_dims))
        self.conv_out = TaskConv1x1(tasks, embed_dims, embed_dims)

    def forward(self, x: Tensor, tasks: Sequence[str]) -> Tensor:
        """Features (T, B, D, h, w), or (1, B, D, h, w) where the tasks share them, to (T, B, D, h, w)."""
        u = self.conv_in(x, tasks)
        routing, m = self.router(u, tasks)
        for i, task in enumerate(tasks):
            record_routing(self.name, task, routing.probabilities[i], routing.gates[i])
        mix = self.folded if not (self.training or torch.is_grad_enabled()) else self.mixture
        return self.conv_out(F.gelu(mix(u, routing.gates, m, tasks)), tasks)

    def mixture(self, u: Tensor, gates: Tensor, m: Tensor, tasks: Sequence[str]) -> Tensor:
        """Experts, task expert and generic path side by side: u (T, B, D, h, w), gates (T, B, N), m (T, B)."""
        batch = u.flatten(0, 1)
        experts = self.experts(batch, gates.flatten(0, 1)).unflatten(0, u.shape[:2])
        generic = self.generic_conv(batch.detach() if self.detach_generic else batch).unflatten(0, u.shape[:2])
        out = []
        for i, task in enumerate(tasks):
            special = m[i, :, None, None, None].to(u.dtype) * self.task_expert[task](u[i])
            out.append(self.norm[task](self.norm_experts[task](experts[i]) + special + generic[i]))
        return torch.stack(out)

    def folded(self, u: Tensor, gates: Tensor, m: Tensor, tasks: Sequence[str]) -> Tensor:
        """The same in evaluation mode as one 3x3 convolution per sample and task (no gradients needed)."""
        kernel, bias = self.merge(gates, m, tasks)
        t, b, d = u.shape[:3]
        out = F.conv2d(u.flatten(0, 2)[None], kernel.view(t * b * d, d, 3, 3), bias.flatten(), padding=1, groups=t * b)
        return out.view(u.shape)

    def merge(self, gates: Tensor, m: Tensor, tasks: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Kernels (T, B, D, D*9) and biases (T, B, D) of ``folded``: batch norms, experts and generic path in one."""
        scale_a, shift_a = self._norm_as_affine(self.norm_experts, tasks)
        scale_b, shift_b = self._norm_as_affine(self.norm, tasks)
        kernel, bias = self.experts.merged(gates.flatten(0, 1))
        shape = gates.shape[:2]
        kernel = kernel.unflatten(0, shape) * scale_a[:, None, :, None]
        bias = bias.unflatten(0, shape) * scale_a[:, None] + shift_a[:, None]
        for i, task in enumerate(tasks):
            task_kernel, task_bias = self.task_expert[task].merged()
            kernel[i] += m[i, :, None, None] * task_kernel.flatten(1)
            bias[i] += m[i, :, None] * task_bias
        kernel += self.generic_conv.weight.flatten(1)
        bias += self.generic_conv.bias
        return kernel * scale_b[:, None, :, None], bias * scale_b[:, None] + shift_b[:, None]

    @staticmethod
    def _norm_as_affine(norms: TaskModules, tasks: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Batch norms in evaluation mode as scale and shift, (T, D) each."""
        scale = norms.stack(tasks, 'weight') * (norms.stack(tasks, 'running_var') + norms[tasks[0]].eps).rsqrt()
        return scale, norms.stack(tasks, 'bias') - norms.stack(tasks, 'running_mean') * scale
