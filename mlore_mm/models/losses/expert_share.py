"""Keeps the shares of the experts even, in the form of Switch Transformer and DeepSeekMoE."""

import torch
from torch import Tensor, nn

from mlore_mm.models.losses.reduction import PER_PROCESS, Reduction, full_precision, mean_of_rows
from mlore_mm.registry import MODELS
from mlore_mm.routing.records import RouterTrace, check_records


@MODELS.register_module()
class ExpertShareLoss(nn.Module):
    """``N / K * sum_i f_i P_i``, mean over the MoE layers; 1 where tokens are spread evenly.

    f_i is the share of rows (tokens, or images) that chose expert i, so that sum f = K, and P_i the mean of its
    probability; the gradient flows through P alone. Layers that several tasks use are pooled over them, and a layer of
    a single expert, which has nothing to balance, does not count.
    Source: Fedus et al., JMLR 2022, and Dai et al., ACL 2024.

    Args:
        loss_weight: Factor of the returned value.
    """

    def __init__(self, loss_weight: float = 0.01) -> None:
        super().__init__()
        self.loss_weight = loss_weight

    def forward(self, trace: RouterTrace | None, reduction: Reduction = PER_PROCESS) -> Tensor:
        """A ``RouterTrace`` to a weighted scalar.

        Raises:
            ValueError: There is no trace, or no router wrote into it.
        """
        check_records(trace, type(self).__name__)
        terms = [self._of_layer(records, reduction) for records in trace.by_layer().values()]
        terms = [term for term in terms if term is not None]
        return self.loss_weight * torch.stack(terms).mean() if terms else trace.records[0].gates.sum() * 0

    @staticmethod
    def _of_layer(records: list, reduction: Reduction) -> Tensor | None:
        probabilities = torch.cat([full_precision(r.flat_probabilities) for r in records])
        chosen = torch.cat([(r.flat_gates > 0) for r in records]).to(probabilities)
        if probabilities.shape[1] == 1:
            return None
        shares = mean_of_rows(chosen, reduction)
        means = mean_of_rows(probabilities, reduction)
        return probabilities.shape[1] / shares.sum() * (shares * means).sum()
