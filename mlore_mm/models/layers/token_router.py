"""Routers of tokens that know the task: one per task, or one that is told the task."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from mlore_mm.models.ops.full_precision import without_autocast
from mlore_mm.routing.top_k_gate import Routing, TopKGate


class MultiGateRouter(BaseModule):
    """A linear router per task, ``s = r W_t``, and the gate behind it; in the weights' precision, fp32 under AMP.

    Source: M3ViT (Liang et al., NeurIPS 2022), multi-gate, the published default.

    Args:
        tasks: Names of the tasks.
        embed_dims: d.
        num_experts: E.
        gate: Config of :class:`TopKGate`. For noise 'softplus' there is a second matrix per task.
    """

    def __init__(self, tasks: Sequence[str], embed_dims: int, num_experts: int, gate: dict) -> None:
        super().__init__()
        self.gate = TopKGate(**gate)
        self.weight = _per_task(tasks, embed_dims, num_experts)
        self.noise_weight = _per_task(tasks, embed_dims, num_experts) if self.gate.noise == 'softplus' else None

    def forward(self, r: Tensor, tasks: Sequence[str], features: None = None) -> Routing:
        """Tokens (T, B, L, d), or (1, B, L, d) that the tasks share, to the routing (T, B, L, E)."""
        with without_autocast(r):
            r = r.to(self.weight[tasks[0]].dtype)
            noise = None if self.noise_weight is None else _product(r, self.noise_weight, tasks)
            return self.gate(_product(r, self.weight, tasks), noise)

    def keep_experts(self, task: str, ids: Tensor) -> None:
        """The router of one task alone, which chooses among these experts, in place."""
        for weights in (self.weight, *([] if self.noise_weight is None else [self.noise_weight])):
            kept = weights[task].detach().index_select(1, ids)
            weights.clear()
            weights[task] = nn.Parameter(kept)

    def reset(self, bound: float | None) -> None:
        """Matrices uniform in +-bound; normal with deviation 0.02 for None."""
        for weight in (*self.weight.values(), *(self.noise_weight or {}).values()):
            _reset(weight, bound)


class ConditionedRouter(BaseModule):
    """One linear router for all tasks, ``s = [r ; f_t] W``, told the task by its features f_t.

    Source: M3ViT (Liang et al., NeurIPS 2022), task-conditioned.

    Args:
        embed_dims: d.
        task_dims: D, width of a task's features.
        num_experts: E.
        gate: Config of :class:`TopKGate`, as in :class:`MultiGateRouter`.
    """

    def __init__(self, embed_dims: int, task_dims: int, num_experts: int, gate: dict) -> None:
        super().__init__()
        self.gate, self.embed_dims = TopKGate(**gate), embed_dims
        self.weight = nn.Parameter(torch.zeros(embed_dims + task_dims, num_experts))
        learned = self.gate.noise == 'softplus'
        self.noise_weight = nn.Parameter(torch.zeros(embed_dims + task_dims, num_experts)) if learned else None

    def forward(self, r: Tensor, tasks: Sequence[str], features: Tensor) -> Routing:
        """Tokens (T, B, L, d) or (1, B, L, d), and features (T, D) of the tasks, to the routing (T, B, L, E)."""
        with without_autocast(r):
            r = r.to(self.weight.dtype)
            noise = None if self.noise_weight is None else self._logits(r, features, self.noise_weight)
            return self.gate(self._logits(r, features, self.weight), noise)

    def _logits(self, r: Tensor, features: Tensor, weight: Tensor) -> Tensor:
        token, task = weight.split([self.embed_dims, len(weight) - self.embed_dims])
        return r @ token + (features @ task)[:, None, None]

    def keep_experts(self, task: str, ids: Tensor) -> None:
        """See :meth:`MultiGateRouter.keep_experts`; this router is told the task as before."""
        self.weight = nn.Parameter(self.weight.detach().index_select(1, ids))
        if self.noise_weight is not None:
            self.noise_weight = nn.Parameter(self.noise_weight.detach().index_select(1, ids))

    def reset(self, bound: float | None) -> None:
        """See :meth:`MultiGateRouter.reset`."""
        for weight in (self.weight, self.noise_weight):
            if weight is not None:
                _reset(weight, bound)


class TaskFeatures(BaseModule):
    """What a conditioned router is told: ``f_t = LN(B2 gelu(b_t + c1) + c2)``, one small MLP for all layers.

    ``b_t`` is the task's column of the first matrix, which the published code multiplies with a one-hot vector; it is
    kept under the task's name.

    Args:
        tasks: Names of the tasks.
        dims: D.
    """

    def __init__(self, tasks: Sequence[str], dims: int) -> None:
        super().__init__()
        if dims < 1:
            raise ValueError(f'Task features need task_dims >= 1, but got {dims}: the router would not see the task.')
        self.columns = nn.ParameterDict({task: nn.Parameter(torch.zeros(dims)) for task in tasks})
        self.bias = nn.Parameter(torch.zeros(dims))
        self.fc2 = nn.Linear(dims, dims)
        self.norm = nn.LayerNorm(dims, eps=1e-6)
        self._reset()

    def forward(self, tasks: Sequence[str]) -> Tensor:
        """(T, D)."""
        with without_autocast(self.bias):
            columns = torch.stack([self.columns[task] for task in tasks])
            return self.norm(self.fc2(F.gelu(columns + self.bias)))

    def init_weights(self) -> None:
        super().init_weights()
        self._reset()

    def _reset(self) -> None:
        for weight in (*self.columns.values(), self.fc2.weight):
            nn.init.trunc_normal_(weight, std=0.02)
        nn.init.zeros_(self.fc2.bias)
        nn.init.zeros_(self.bias)


def _per_task(tasks: Sequence[str], embed_dims: int, num_experts: int) -> nn.ParameterDict:
    return nn.ParameterDict({task: nn.Parameter(torch.zeros(embed_dims, num_experts)) for task in tasks})


def _product(r: Tensor, weights: nn.ParameterDict, tasks: Sequence[str]) -> Tensor:
    return r @ torch.stack([weights[task] for task in tasks])[:, None]


def _reset(weight: Tensor, bound: float | None) -> None:
    if bound is None:
        nn.init.normal_(weight, std=0.02)
    else:
        nn.init.uniform_(weight, -bound, bound)
