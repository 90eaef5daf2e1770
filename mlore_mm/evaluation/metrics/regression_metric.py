"""Errors of a plain map of numbers."""

import torch
from torch import Tensor

from mlore_mm.evaluation.metrics.base import TaskMetric
from mlore_mm.registry import METRICS


@METRICS.register_module()
class RegressionMetric(TaskMetric):
    """``MAE`` and ``RMSE`` in the unit of the label, over all channels of all valid pixels of the data set."""

    headline = 'MAE'
    higher_is_better = False

    def measure(self, prediction: Tensor, target: Tensor, valid: Tensor) -> dict[str, Tensor]:
        difference = torch.where(valid, prediction.double() - target.double(), 0)
        return dict(
            absolute=difference.abs().sum(),
            squared=difference.square().sum(),
            count=valid.sum() * target.shape[-3],
        )

    def summarize(self, totals: dict[str, Tensor]) -> dict[str, float]:
        count = totals['count']
        return dict(
            MAE=(totals['absolute'] / count).item(),
            RMSE=(totals['squared'] / count).sqrt().item(),
        )
