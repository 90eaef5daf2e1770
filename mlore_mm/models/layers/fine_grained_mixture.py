"""Experts cut fine, experts that are always on, and experts that all tasks share."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from mlore_mm.models.layers.token_mixture import TokenMixture
from mlore_mm.models.ops.full_precision import without_autocast
from mlore_mm.routing import TopKGate
from mlore_mm.routing.records import record_routing

GLOBAL_GATES = ('softmax', 'sigmoid', 'none')


class FineGrainedMixture(BaseModule):
    """The mixture of one task, per pixel: tokens (B, L, C) to ``sum p_i R_i(v) + sum S_j(v)`` with v = LN(u).

    The hidden width of a base MLP is partitioned: m * E_0 routed experts of width D_h / m, of which m * k_0 minus the
    number of shared ones are chosen, so that as many hidden units are at work as in E_0 experts with k_0 chosen. The
    probabilities are not renormalised. Source: FGMoE-style, after DeepSeekMoE (Dai et al., ACL 2024).

    Args:
        embed_dims: C.
        hidden_dims: D_h, a multiple of ``granularity``.
        base_experts: E_0.
        granularity: m.
        shared_experts: Experts that are always on.
        base_top_k: k_0.
        name: Of the layer in routing records.
    """

    def __init__(
        self,
        embed_dims: int,
        hidden_dims: int,
        base_experts: int = 4,
        granularity: int = 4,
        shared_experts: int = 1,
        base_top_k: int = 1,
        name: str = '',
    ) -> None:
        super().__init__()
        if hidden_dims % granularity:
            raise ValueError(f'hidden_dims={hidden_dims} has to be a multiple of granularity={granularity}.')
        chosen = granularity * base_top_k - shared_experts
        if not 0 < chosen <= granularity * base_experts:
            raise ValueError(
                f'granularity * base_top_k - shared_experts = {chosen} of {granularity * base_experts} experts cannot '
                'be chosen.'
            )
        width, self.name = hidden_dims // granularity, name
        self.norm = nn.LayerNorm(embed_dims)
        self.router = nn.Linear(embed_dims, granularity * base_experts, bias=False)
        self.gate = TopKGate(chosen, noise='none')
        self.experts = TokenMixture(embed_dims, width, granularity * base_experts, chosen)
        self.shared = nn.ModuleList(
            nn.Sequential(nn.Linear(embed_dims, width), nn.GELU(), nn.Linear(width, embed_dims))
            for _ in range(shared_experts)
        )

    def forward(self, u: Tensor, task: str) -> Tensor:
        v = self.norm(u)
        routing = self.gate(full_precision_linear(v, self.router.weight))
        routing.record(self.name, task)
        return self.experts(v, routing) + sum(expert(v) for expert in self.shared)

    def init_weights(self) -> None:
        """Truncated normal of std 0.02; second layers divided by the root of the number of experts at work."""
        super().init_weights()
        init_experts(self, self.gate.top_k + len(self.shared))
        for expert in self.shared:
            expert[2].weight.data /= (self.gate.top_k + len(self.shared)) ** 0.5


class GlobalMixture(BaseModule):
    """The mixture that all tasks share: its router sees the pixel and the task, its experts the pixel alone.

    Tokens (B, L, C) to a dict of them by task: ``sum p_i G_i(v)`` with v = LN(x) and the k largest of
    softmax(A v + B q_t), not renormalised; or ``sigmoid(a v + b q_t) G(v)`` for a single expert. The experts are
    computed once for all tasks. Source: FGMoE-style.

    Args:
        tasks: Names of the tasks.
        embed_dims: C, also of the task embeddings q_t.
        hidden_dims: Width of an expert.
        num_experts: N_g.
        top_k: Experts chosen.
        gate: 'softmax', or 'sigmoid' for one expert.
        name: Of the layer in routing records.
    """

    def __init__(
        self,
        tasks: Sequence[str],
        embed_dims: int,
        hidden_dims: int,
        num_experts: int = 4,
        top_k: int = 2,
        gate: str = 'softmax',
        name: str = '',
    ) -> None:
        super().__init__()
        if gate == 'sigmoid' and num_experts != 1:
            raise ValueError(f"global_gate='sigmoid' is for one expert, but global_experts={num_experts}.")
        self.tasks, self.name = list(tasks), name
        self.norm = nn.LayerNorm(embed_dims)
        self.embedding = nn.Parameter(torch.zeros(len(self.tasks), embed_dims))
        self.pixel_router = nn.Linear(embed_dims, num_experts, bias=False)
        self.task_router = nn.Linear(embed_dims, num_experts, bias=False)
        self.gate = TopKGate(top_k, noise='none') if gate == 'softmax' else None
        self.experts = TokenMixture(embed_dims, hidden_dims, num_experts, min(top_k, num_experts))
        nn.init.normal_(self.embedding, std=0.02)

    def keep_task(self, task: str) -> None:
        """The embedding of one task alone, in place."""
        index = self.tasks.index(task)
        self.embedding, self.tasks = nn.Parameter(self.embedding.detach()[index : index + 1]), [task]

    def forward(self, x: Tensor, tasks: Sequence[str]) -> dict[str, Tensor]:
        v = self.norm(x)
        outputs = torch.stack([self.experts.expert(e, v) for e in range(self.experts.num_experts)], dim=-2)
        from_pixel = full_precision_linear(v, self.pixel_router.weight)
        from_task = full_precision_linear(self.embedding, self.task_router.weight)
        return {
            task: (self._gates(from_pixel + from_task[self.tasks.index(task)], task).to(outputs) @ outputs)[..., 0, :]
            for task in tasks
        }

    def _gates(self, logits: Tensor, task: str) -> Tensor:
        """Logits (B, L, N_g) to gates (B, L, 1, N_g), recorded."""
        if self.gate is None:
            gates = logits.sigmoid()
            record_routing(self.name, task, torch.ones_like(gates), gates, logits)
            return gates[..., None, :]
        routing = self.gate(logits)
        routing.record(self.name, task)
        return routing.gates[..., None, :]

    def init_weights(self) -> None:
        super().init_weights()
        init_experts(self, self.gate.top_k if self.gate else 1)
        nn.init.normal_(self.embedding, std=0.02)


def full_precision_linear(x: Tensor, weight: Tensor) -> Tensor:
    """A linear map in fp32 under autocast as well, as routers decide."""
    with without_autocast(x):
        dtype = torch.float64 if weight.dtype == torch.float64 else torch.float32
        return F.linear(x.to(dtype), weight.to(dtype))


def init_experts(module: nn.Module, at_work: int) -> None:
    """Linear layers and stacked experts: truncated normal of std 0.02, second layers divided by sqrt(at_work)."""
    for part in module.modules():
        if isinstance(part, nn.Linear):
            nn.init.trunc_normal_(part.weight, std=0.02)
            if part.bias is not None:
                nn.init.zeros_(part.bias)
        if isinstance(part, TokenMixture):
            for linear, scale in ((part.fc1, 1.0), (part.fc2, at_work**-0.5)):
                nn.init.trunc_normal_(linear.weight, std=0.02)
                linear.weight.data *= scale
                nn.init.zeros_(linear.bias)
                linear.settle()
