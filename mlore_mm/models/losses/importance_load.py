"""Balance of experts by how much weight they get and how many tokens choose them."""

import torch
from torch import Tensor, nn

from mlore_mm.models.losses.load_balance import squared_variation
from mlore_mm.models.losses.reduction import PER_PROCESS, Reduction, full_precision
from mlore_mm.registry import MODELS
from mlore_mm.routing.records import RouterRecord, RouterTrace, check_records


@MODELS.register_module()
class ImportanceLoadLoss(nn.Module):
    """``(std / mean)^2`` of the experts' importance and of their load, summed over the layers and the tasks.

    Importance of an expert is the sum of its gates over the tokens of one task's pass. Its load is the number of tokens
    that chose it; where the logits were noisy, the expected number: the probability, over new noise for this expert,
    that it is among the k best. That has a gradient, the number itself has none.
    Source: Shazeer et al., ICLR 2017 and V-MoE (Riquelme et al., NeurIPS 2021), as in M3ViT (Liang et al., NeurIPS
    2022).

    Args:
        loss_weight: Factor of the returned value; published: 0.01.
        legacy_load: The published estimate, which compares noisy logits with the k-th best *probability*. Differs where
            it is off: the k-th best noisy logit, as the method asks for.
    """

    adds_over_tasks = True  # terms of single tasks are those of all tasks together

    def __init__(self, loss_weight: float = 0.01, legacy_load: bool = False) -> None:
        super().__init__()
        self.loss_weight, self.legacy_load = loss_weight, legacy_load

    def forward(self, trace: RouterTrace | None, reduction: Reduction = PER_PROCESS) -> Tensor:
        """A ``RouterTrace`` to a weighted scalar.

        Raises:
            ValueError: There is no trace, or no router wrote into it.
        """
        check_records(trace, type(self).__name__)
        return self.loss_weight * sum(self.of_record(record, reduction) for record in trace.records)

    def of_record(self, record: RouterRecord, reduction: Reduction = PER_PROCESS) -> Tensor:
        """The unweighted term of one layer and task."""
        importance = reduction.total(full_precision(record.flat_gates).sum(dim=0))
        return squared_variation(importance) + squared_variation(reduction.total(self.load(record)))

    def load(self, record: RouterRecord) -> Tensor:
        """(N) tokens per expert, counted or expected."""
        gates = record.flat_gates
        top_k = record.experts.shape[-1] if record.experts is not None else int((gates[0] > 0).sum())
        if record.noise_std is None or top_k >= gates.shape[-1]:
            return (gates > 0).sum(dim=0).to(full_precision(gates).dtype)
        noisy, std = full_precision(record.flat_noisy_logits), full_precision(record.flat_noise_std)
        ranked = full_precision(record.flat_probabilities) if self.legacy_load else noisy
        best = ranked.topk(top_k + 1, dim=-1).values
        chosen, first_left_out = best[:, -2:].split(1, dim=-1)
        bar = torch.where(noisy > first_left_out, first_left_out, chosen)
        return torch.special.ndtr((full_precision(record.flat_logits) - bar) / std).sum(dim=0)
