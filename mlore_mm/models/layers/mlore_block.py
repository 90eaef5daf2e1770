"""One MoE block of MLoRE: all tasks in, all tasks out."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from mlore_mm.models.layers.folded_mixture import FoldedMixture
from mlore_mm.models.layers.low_rank_expert import LowRankExpert, LowRankExpertBank
from mlore_mm.models.layers.recompute import recompute
from mlore_mm.models.layers.router_trace import record_routing
from mlore_mm.models.layers.task_modules import TaskConv1x1, TaskModules
from mlore_mm.models.layers.task_router import TaskRouter
from mlore_mm.models.layers.winograd import Conv, convs3x3

# Multiplications per sample above which leaving out experts pays on a CPU.
CHOOSING_PAYS_FROM = 3e8


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
        with_cp: In training, keep less for the backward pass and compute norm, GELU and last convolution twice.
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
            record_routing(self.name, task, routing.probabilities[i], routing.gates[i])
        if self.deployed is not None:
            return self.conv_out(F.gelu(self.deployed(u, routing.gates, m, tasks)), tasks)
        if self._folds(u):
            return self.conv_out(F.gelu(self.folded(u, routing.gates, m, tasks)), tasks)
        mixed = self.mixture(u, routing.gates, m, tasks)
        if self.with_cp and self.training:
            return recompute(lambda y: self._finish(y, tasks), mixed, norms=self.norm)
        return self._finish(mixed, tasks)

    def mixture(self, u: Tensor, gates: Tensor, m: Tensor, tasks: Sequence[str]) -> Tensor:
        """Experts, task expert and generic path side by side: u (T, B, D, h, w), gates (T, B, N), m (T, B)."""
        parts = self._by_sample if self._choosing_pays(u) else self._all_experts
        experts, rest = parts(u, gates, m, tasks)
        return torch.stack([self.norm_experts[task](experts[i]) + rest[i] for i, task in enumerate(tasks)])

    def _all_experts(self, u: Tensor, gates: Tensor, m: Tensor, tasks: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Shared experts, and the sum of task expert and generic path, both (T, B, D, h, w); samples in one batch."""
        batch = u.flatten(0, 1)
        experts = self.experts(batch, gates.flatten(0, 1)).unflatten(0, u.shape[:2])
        generic = self.generic_conv(batch.detach() if self.detach_generic else batch).unflatten(0, u.shape[:2])
        special = [self.task_expert[task](u[i], m[i]) for i, task in enumerate(tasks)]
        return experts, torch.stack(special) + generic

    def _by_sample(self, u: Tensor, gates: Tensor, m: Tensor, tasks: Sequence[str]) -> tuple[Tensor, Tensor]:
        """The same with the chosen experts only, one sample after the other; all convolutions of a sample together."""
        batch, gates, m = u.flatten(0, 1), gates.flatten(0, 1), m.flatten()
        special = [self.task_expert[task] for task in tasks for _ in range(u.shape[1])]
        channels = [self.experts.chosen_channels(gate) for gate in gates]
        weights = [self.experts.reduce.weight, self.generic_conv.weight]
        weights += [self.task_expert[task].reduce.weight for task in tasks]
        convs = [
            (Conv(s, 0, channels[s]), Conv(s, 1, detached=self.detach_generic), Conv(s, 2 + s // u.shape[1]))
            for s in range(len(batch))
        ]
        maps = convs3x3(batch, weights, [conv for three in convs for conv in three])
        experts, rest = [], []
        for s, (chosen, generic, own) in enumerate(zip(maps[::3], maps[1::3], maps[2::3], strict=True)):
            experts.append(self.experts.expand_chosen(chosen, gates[s], channels[s]))
            own = own + special[s].reduce.bias.to(own.dtype)[:, None, None]
            rest.append(special[s].expand_scaled(own[None], m[s : s + 1])[0] + generic)
        rest = torch.stack(rest) + self.generic_conv.bias.to(u.dtype)[:, None, None]
        return torch.stack(experts).unflatten(0, u.shape[:2]), rest.unflatten(0, u.shape[:2])

    def _choosing_pays(self, u: Tensor) -> bool:
        """Whether leaving out experts gains more than single samples and copied weights cost; on the CPU, large maps.

        On other devices the number of chosen channels would have to be known to the host, a synchronisation.
        """
        if u.device.type != 'cpu' or torch.compiler.is_compiling() or torch.jit.is_tracing():
            return False
        return self.experts.reduce.weight.numel() * u.shape[-2] * u.shape[-1] > CHOOSING_PAYS_FROM

    def _finish(self, y: Tensor, tasks: Sequence[str]) -> Tensor:
        return self.conv_out(F.gelu(self.norm.each(tasks, y)), tasks)

    def folded(self, u: Tensor, gates: Tensor, m: Tensor, tasks: Sequence[str]) -> Tensor:
        """Norm of the mixture in evaluation mode as one 3x3 convolution per sample and task, without gradients."""
        return FoldedMixture.of_block(self, tasks, precompute=False)(u, gates, m, tasks)

    def _folds(self, u: Tensor) -> bool:
        if self.training or torch.is_grad_enabled() or self.form == 'wide':
            return False
        return self.form == 'folded' or self.folding_pays(u.shape[-2] * u.shape[-1], self._choosing_pays(u))

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
