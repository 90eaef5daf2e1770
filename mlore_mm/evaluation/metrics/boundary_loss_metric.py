"""A cheap stand-in for the boundary benchmark."""

import torch
import torch.nn.functional as F
from torch import Tensor

from mlore_mm.evaluation.metrics.base import TaskMetric
from mlore_mm.registry import METRICS


@METRICS.register_module()
class BoundaryLossMetric(TaskMetric):
    """``loss``: the balanced cross-entropy of the prediction, mean over the valid pixels of the data set.

    It follows training; the number that papers quote is odsF of ``BoundaryMetric``.
    The published code treats the predicted probability as if it were a logit, that is, passes it through a second
    sigmoid; so does this by default. Differs: every pixel counts alike, where the published code averages over batches.

    Args:
        task: See ``TaskMetric``, as are the arguments not named here.
        pos_weight: Weight of positives, above 0 and below 1; negatives weigh 1 - pos_weight.
        squash_twice: The published protocol. False gives the training loss itself.
    """

    headline = 'loss'
    higher_is_better = False

    def __init__(self, task: str, pos_weight: float = 0.95, squash_twice: bool = True, **kwargs) -> None:
        super().__init__(task, **kwargs)
        if not 0 < pos_weight < 1:
            raise ValueError(f'BoundaryLossMetric needs 0 < pos_weight < 1, but got {pos_weight}.')
        self.pos_weight = pos_weight
        self.squash_twice = squash_twice

    def measure(self, prediction: Tensor, target: Tensor, valid: Tensor) -> dict[str, Tensor]:
        score = prediction.double()
        if not self.squash_twice:
            score = torch.logit(score, eps=1e-12)
        target = torch.where(valid, target, 0).double()
        positive, negative = F.softplus(-score), F.softplus(score)
        loss = self.pos_weight * target * positive + (1 - self.pos_weight) * (1 - target) * negative
        return dict(loss=torch.where(valid, loss, 0).sum(), count=valid.sum() * target.shape[-3])

    def summarize(self, totals: dict[str, Tensor]) -> dict[str, float]:
        return dict(loss=(totals['loss'] / totals['count']).item())
