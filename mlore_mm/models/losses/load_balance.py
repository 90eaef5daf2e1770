"""Keeps a router from sending everything to the same few experts."""

import torch
from torch import Tensor, nn

from mlore_mm.models.losses.reduction import PER_PROCESS, Reduction, full_precision, mean_of_rows
from mlore_mm.registry import MODELS
from mlore_mm.routing.records import RouterTrace, check_records


@MODELS.register_module()
class LoadBalanceLoss(nn.Module):
    """Squared coefficient of variation of the experts' mean gates, summed over the MoE layers.

    For each layer, v is the mean of the gates over all tasks and samples, or over all tokens where these are routed one
    by one (N numbers); the layer adds (std(v) / mean(v))^2 with the unbiased deviation.
    Source: MLoRE (Yang et al., CVPR 2024), after Shazeer et al., ICLR 2017 (``cv_squared``). As in the published code
    the mean is over the samples of one process; with ``average='batch'`` of the criterion over those of all.

    Args:
        loss_weight: Factor of the returned value. Published: 3e-4 (PASCAL-Context ViT-L), 1e-4 (ViT-B, ViT-S),
            5e-4 (NYUD-v2).
    """

    def __init__(self, loss_weight: float = 1.0) -> None:
        super().__init__()
        self.loss_weight = loss_weight

    def forward(self, trace: RouterTrace | None, reduction: Reduction = PER_PROCESS) -> Tensor:
        """A ``RouterTrace`` to a weighted scalar.

        Raises:
            ValueError: There is no trace, or no router wrote into it.
        """
        check_records(trace, type(self).__name__)
        rows = [torch.cat([full_precision(r.flat_gates) for r in records]) for records in trace.by_layer().values()]
        loads = [mean_of_rows(x, reduction) for x in rows]
        terms = [squared_variation(load) for load in loads]
        return self.loss_weight * torch.stack(terms).sum()


def squared_variation(load: Tensor) -> Tensor:
    """(std / mean)^2 of a vector (N,), unbiased; 0 for a single number, which cannot vary."""
    if load.numel() == 1:
        return load.sum() * 0
    return load.var() / (load.mean().square() + 1e-10)
