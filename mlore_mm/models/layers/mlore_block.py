"""One MoE block of MLoRE: all tasks in, all tasks out."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from mlore_mm.models.layers.folded_mixture import FoldedMixture
from mlore_mm.models.layers.low_rank_expert import LowRankExpert, LowRankExpertBank
from mlore_mm.models.layers.task_modules import TaskConv1x1, TaskModules
from mlore_mm.models.layers.task_router import TaskRouter
from mlore_mm.models.layers.wide_mixture import all_experts, choosing_pays, chosen_experts
from mlore_mm.models.ops.recompute import recompute


class MLoREBlock(BaseModule):
    """Mixture of low-rank experts with a generic path, for T tasks at once.

    For task t: ``u = conv1x1_t(x)``; gates g and factor m from t's router; ``E = sum_i g_i expert_i(u)``;
    ``y = GELU(BN_b(BN_a(E) + m * task_expert_t(u) + generic(stop_gradient(u))))``; output ``conv1x1_t(y)``.
    Experts and the generic convolution are shared by the tasks, everything else is per task.

    Everything between ``u`` and the GELU can be computed in two forms with equal results. The wide form runs the parts
    side by side; batch statistics and gradients need it. The folded form merges them into one convolution per sample
    and task; it is taken in evaluation without gradients where it is cheaper. The attribute ``form``, 'auto', 'wide' or
    'folded', overrides the choice.

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
        with_cp: In training, keep only the maps of the 3x3 convolutions for the backward pass, and compute what follows
            them twice.
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
        with_cp: bool = True,
    ) -> None:
        super().__init__()
        self.name, self.detach_generic, self.with_cp = name, detach_generic, with_cp
        self.form = 'auto'
        self.conv_in = TaskConv1x1(tasks, embed_dims, embed_dims)
        self.router = TaskRouter(tasks, embed_dims, len(ranks), grid, gate)
        self.experts = LowRankExpertBank(embed_dims, ranks)
        self.task_expert = TaskModules(tasks, lambda: LowRankExpert(embed_dims, task_rank))
        self.generic_conv = nn.Conv2d(embed_dims, embed_dims, 3, padding=1)
        self.norm_experts = TaskModules(tasks, lambda: nn.BatchNorm2d(embed_dims))
        self.norm = TaskModules(tasks, lambda: nn.BatchNorm2d(embed_dims))
        self.conv_out = TaskConv1x1(tasks, embed_dims, embed_dims)
        self.deployed: FoldedMixture | None = None

    def forward(self, x: Tensor, tasks: Sequence[str]) -> Tensor:
        """Features (T, B, D, h, w), or (1, B, D, h, w) where the tasks share them, to (T, B, D, h, w)."""
        u = self.conv_in(x, tasks)
        routing, m = self.router(u, tasks)
        for i, task in enumerate(tasks):
            routing.of(i).record(self.name, task)
        if self.deployed is not None:
            return self.conv_out(F.gelu(self.deployed(u, routing.gates, m, tasks)), tasks)
        if self._folds(u):
            return self.conv_out(F.gelu(self.folded(u, routing.gates, m, tasks)), tasks)
        return self._wide(u, routing.gates, m, tasks)

    def _wide(self, u: Tensor, gates: Tensor, m: Tensor, tasks: Sequence[str]) -> Tensor:
        parts = chosen_experts if choosing_pays(u, self) else all_experts
        maps, combine = parts(self, u, gates, m, tasks)

        def finish(*maps: Tensor) -> Tensor:
            experts, rest = combine(*maps)
            y = self.norm.each(tasks, self.norm_experts.each(tasks, experts) + rest)
            return self.conv_out(F.gelu(y), tasks)

        if self.with_cp and self.training:
            return recompute(finish, *maps, norms=(self.norm_experts, self.norm))
        return finish(*maps)

    def folded(self, u: Tensor, gates: Tensor, m: Tensor, tasks: Sequence[str]) -> Tensor:
        """Norm of the mixture in evaluation mode as one 3x3 convolution per sample and task, without gradients."""
        return FoldedMixture.of_block(self, tasks, precompute=False)(u, gates, m, tasks)

    def _folds(self, u: Tensor) -> bool:
        if self.training or torch.is_grad_enabled() or self.form == 'wide':
            return False
        return self.form == 'folded' or self.folding_pays(u.shape[-2] * u.shape[-1], choosing_pays(u, self))

    def folding_pays(self, pixels: int, by_sample: bool = False) -> bool:
        """Whether merging kernels (a cost per sample) is made good by the cheaper convolution (a gain per pixel).

        Counted in multiplications per bottleneck channel: 9 D^2 merge it; 9 D for its 3x3 convolution and D to expand
        it are spared on every pixel, or 5 D for the chosen share of channels where the wide form goes ``by_sample``.
        """
        d = self.generic_conv.in_channels
        spared = 5 * d * self.router.gate.top_k / len(self.experts.ranks) if by_sample else 10 * d
        return 9 * d * d < pixels * spared

    def switch_to_deploy(self, precompute: bool = True) -> None:
        """Replace experts, generic path and norms by their folded form, for good; evaluation only from then on.

        Args:
            precompute: Keep every expert's full kernel (N x D x D x 9 numbers), which makes merging a weighted sum;
                False keeps the low-rank factors and multiplies them per sample: less memory, slower.
        """
        if self.deployed is not None:
            return
        with torch.no_grad():
            self.deployed = FoldedMixture.of_block(self, list(self.task_expert), precompute)
        for part in ('experts', 'task_expert', 'generic_conv', 'norm_experts', 'norm'):
            delattr(self, part)
