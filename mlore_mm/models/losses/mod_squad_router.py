"""What Mod-Squad asks of its routers: that tasks and experts tell something about each other."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from mlore_mm.models.losses.reduction import PER_PROCESS, Reduction, full_precision
from mlore_mm.registry import MODELS
from mlore_mm.routing.records import RouterRecord, RouterTrace, check_records

LEGACY_EPS = 1e-4


@MODELS.register_module()
class ModSquadRouterLoss(nn.Module):
    """Negative mutual information of task and expert, and three regularisers, over all tasks of an iteration.

    Per layer, with p the probabilities and c(e) how often an expert was chosen by any token of any task:

    - mutual information: ``-sum A log(A / (P(t) P(e)))`` of ``A(t, e) = sum_tokens p_t(e) / (sum c / k)``;
    - switch: ``E sum_e [Q(e) / sum Q] [c(e) / sum c]`` with Q the sum of p over tasks and tokens; 1 where uniform;
    - z: mean of ``logsumexp(s)^2`` over all tokens;
    - top-k: ``sum pbar_t(e)^2`` over the experts that are not among a task's m most probable, m = max(k, limit).

    Source: Mod-Squad (Chen et al., CVPR 2023). Differs where ``legacy`` is off: no epsilon in denominators and
    logarithms, and each top-k weight acts by itself.

    Args:
        mutual_information: Weight; published: 0.0005 to 0.03.
        switch: Weight.
        z: Weight.
        top_k: Kind of layer ('attn', 'mlp', how its name ends) to weight.
        top_k_limit: Kind of layer to limit; k where it is not given.
        legacy: The published epsilon of 1e-4, and no top-k term anywhere unless ``top_k['mlp']`` is positive.
    """

    adds_over_tasks = False  # all tasks stand in one table

    def __init__(
        self,
        mutual_information: float = 0.005,
        switch: float = 0.0,
        z: float = 0.0,
        top_k: Mapping[str, float] | None = None,
        top_k_limit: Mapping[str, int] | None = None,
        legacy: bool = False,
    ) -> None:
        super().__init__()
        self.weights = dict(mutual_information=mutual_information, switch=switch, z=z)
        self.top_k, self.top_k_limit = dict(top_k or {}), dict(top_k_limit or {})
        unknown = sorted({*self.top_k, *self.top_k_limit} - {'attn', 'mlp'})
        if unknown:
            raise ValueError(f"`top_k` and `top_k_limit` are by 'attn' and 'mlp', but got {unknown}.")
        if legacy and self.top_k.get('mlp', 0) <= 0:
            self.top_k = {}
        self.eps = LEGACY_EPS if legacy else 0.0

    def forward(self, trace: RouterTrace | None, reduction: Reduction = PER_PROCESS) -> Tensor:
        """A ``RouterTrace`` to a weighted scalar.

        Raises:
            ValueError: There is no trace, or no router wrote into it.
        """
        check_records(trace, type(self).__name__)
        total = 0
        for name, records in trace.by_layer().items():
            terms = self.of_layer(records, reduction)
            total = total + sum(self.weights[key] * terms[key] for key in self.weights if self.weights[key])
            weight = self.top_k.get(_kind(name), 0)
            if weight:
                total = total + weight * sum(self.of_task(record, reduction) for record in records)
        return total if isinstance(total, Tensor) else trace.records[0].probabilities.sum() * 0

    def of_layer(self, records: Sequence[RouterRecord], reduction: Reduction = PER_PROCESS) -> dict[str, Tensor]:
        """The unweighted terms of one layer."""
        tiny = torch.finfo(torch.float32).tiny
        shares = torch.stack([full_precision(r.flat_probabilities).sum(dim=0) for r in records])  # (T, E)
        shares = reduction.total(shares)
        chosen = reduction.total(sum(_counts(r, shares.dtype) for r in records))
        k = records[0].flat_experts.shape[1]

        table = shares / (chosen.sum() / k + self.eps)
        task, expert = table.sum(dim=1, keepdim=True) + self.eps, table.sum(dim=0) + self.eps
        ratio = table / (task * expert) + self.eps
        information = (table * ratio.clamp_min(tiny).log()).sum()

        total = shares.sum(dim=0)
        switch = len(total) * (total / total.sum() * (chosen / chosen.sum())).sum()

        logits = [full_precision(r.flat_noisy_logits) for r in records]
        squares = sum((self._log_sum(s) ** 2).sum() for s in logits)
        count = squares.new_tensor(sum(len(s) for s in logits))
        return dict(mutual_information=-information, switch=switch, z=reduction.total(squares) / reduction.total(count))

    def of_task(self, record: RouterRecord, reduction: Reduction = PER_PROCESS) -> Tensor:
        """The unweighted top-k term of one layer and task; 0 for a layer without more experts than the limit."""
        rows = full_precision(record.flat_probabilities)
        mean = reduction.total(rows.sum(dim=0)) / reduction.total(rows.new_tensor(len(rows)))
        limit = max(record.flat_experts.shape[1], self.top_k_limit.get(_kind(record.layer), 0))
        return (mean.sort(descending=True).values[limit:] ** 2).sum()

    def _log_sum(self, logits: Tensor) -> Tensor:
        return (logits.exp().sum(dim=-1) + self.eps).log() if self.eps else logits.logsumexp(dim=-1)


def _kind(layer: str) -> str:
    return layer.rsplit('/', 1)[-1]


def _counts(record: RouterRecord, dtype: torch.dtype) -> Tensor:
    ids, experts = record.flat_experts.flatten(), record.gates.shape[-1]
    ones = torch.ones(len(ids), dtype=dtype, device=ids.device)
    return torch.zeros(experts, dtype=dtype, device=ids.device).scatter_add(0, ids, ones)
