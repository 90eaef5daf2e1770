"""One MoE block of MLoRE: all tasks in, all tasks out."""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from mlore_mm.models.layers.folded_mixture import FoldedMixture, folding_pays
from mlore_mm.models.layers.low_rank_expert import LowRankExpert, LowRankExpertBank
from mlore_mm.models.layers.low_rank_mixture import LowRankMixture, MixtureParts
from mlore_mm.models.layers.pad_conv import PadConv2d
from mlore_mm.models.layers.task_modules import TaskConv1x1, TaskModules
from mlore_mm.models.layers.task_router import BlockRouting, TaskRouter
from mlore_mm.models.layers.wide_mixture import ChosenMixture, WideMixture, choosing_pays
from mlore_mm.models.ops.recompute import recompute

Mixture = Callable[[Tensor, BlockRouting, Sequence[str]], Tensor]  # u, routing, tasks to y
FORMS = ('auto', 'literal', 'wide', 'folded')


class MLoREBlock(BaseModule):
    """Mixture of low-rank experts with a generic path, for T tasks at once.

    For task t: ``u = conv_in_t(x)``; gates and factor from t's router; ``y`` the mixture, see :class:`LowRankMixture`;
    the output is ``conv_out_t(GELU(y))``. Experts and the generic convolution are shared by the tasks, everything else
    is per task.

    The mixture has several forms with equal results, and :meth:`choose_mixture` takes the cheapest. The attribute
    ``form`` overrides it: 'literal' is the definition, 'wide' runs the parts side by side, 'folded' merges them into
    one convolution per sample and task (in evaluation without gradients only), 'auto' is the default.

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
        routing = self.router(u, tasks)
        routing.record(self.name, tasks)
        mixture = self.choose_mixture(u, tasks)
        if self.with_cp and self.training and isinstance(mixture, WideMixture):
            return self._recomputed(mixture, u, routing, tasks)
        y = mixture(u, routing, tasks)
        return self.conv_out(F.gelu(y), tasks)

    def _recomputed(self, mixture: WideMixture, u: Tensor, routing: BlockRouting, tasks: Sequence[str]) -> Tensor:
        """The same, with what follows the 3x3 convolutions computed again in the backward pass."""
        maps, combine = mixture.split(u, routing, tasks)

        def finish(*maps: Tensor) -> Tensor:
            return self.conv_out(F.gelu(combine(*maps)), tasks)

        return recompute(finish, *maps, norms=(self.norm_experts, self.norm))

    def choose_mixture(
        self, u: Tensor, tasks: Sequence[str]
    ) -> Callable[[Tensor, BlockRouting, Sequence[str]], Tensor]:
        """The form of the mixture for ``u``: deployed, as ``form`` says, or the cheapest.

        Raises:
            ValueError: An unknown form.
        """
        if self.deployed is not None:
            return self.deployed
        if self.form not in FORMS:
            raise ValueError(f'The form of a MLoRE block is one of {", ".join(FORMS)}, but got {self.form!r}.')
        parts = self.parts
        if self.form == 'literal':
            return LowRankMixture(parts)
        if isinstance(self.generic_conv, PadConv2d):  # a kernel per image, which no other form knows
            return WideMixture(parts)
        wide = ChosenMixture if choosing_pays(parts, u) else WideMixture
        # Batch statistics and gradients need the wide form.
        if self.training or torch.is_grad_enabled() or self.form == 'wide':
            return wide(parts)
        share = self.router.gate.top_k / len(parts.experts.ranks) if wide is ChosenMixture else None
        if self.form == 'folded' or folding_pays(parts, u.shape[-2] * u.shape[-1], share):
            return FoldedMixture.of_parts(parts, tasks, precompute=False)
        return wide(parts)

    @torch.no_grad()
    def start_as_identity(self, expert_scale: float = 0.1) -> None:
        """Make the block ``GELU(BN(x + small))`` of its input: entry, generic convolution and exit pass theirs on.

        Source: none of MLoRE; residual networks begin so (a small last scale, Goyal et al., 2017).

        Args:
            expert_scale: Of the experts' norm, beside features that are passed on.

        Raises:
            ValueError: The generic convolution is partially dynamic and has no kernel of its own.
        """
        if isinstance(self.generic_conv, PadConv2d):
            raise ValueError(
                f'{self.name}: identity_init=True of the decode head does not go with a partially dynamic generic '
                'convolution. Leave one of identity_init and the rule of partially_dynamic out.'
            )
        for conv in (*self.conv_in.values(), *self.conv_out.values(), self.generic_conv):
            nn.init.dirac_(conv.weight)
            nn.init.zeros_(conv.bias)
        for norm in self.norm_experts.values():
            nn.init.constant_(norm.weight, expert_scale)

    @property
    def parts(self) -> MixtureParts:
        """What the mixture is made of."""
        return MixtureParts(
            self.experts, self.task_expert, self.generic_conv, self.norm_experts, self.norm, self.detach_generic
        )

    def switch_to_deploy(self, precompute: bool = True) -> None:
        """Replace the mixture by its folded form, for good; evaluation only from then on.

        Args:
            precompute: Keep every expert's full kernel (N x D x D x 9 numbers), which makes merging a weighted sum;
                False keeps the low-rank factors and multiplies them per sample: less memory, slower.
        """
        if self.deployed is not None or isinstance(self.generic_conv, PadConv2d):
            return
        with torch.no_grad():
            self.deployed = FoldedMixture.of_parts(self.parts, list(self.task_expert), precompute)
        for part in MixtureParts._fields:
            if isinstance(getattr(self, part), nn.Module):
                delattr(self, part)
