"""Learned weights of the tasks that cannot turn negative."""

import torch
from torch import nn

from mlore_mm.models.losses.weighting import Losses, _AdaptiveWeighting
from mlore_mm.registry import MODELS
from mlore_mm.tasks import TaskSet


@MODELS.register_module()
class LearnedScaleWeighting(_AdaptiveWeighting):
    """``L / (2 a^2) + log(1 + a^2)`` with a learned a per task, 1 at the start; the terms stay positive.

    The optimizer sees one parameter, ``criterion.weighting.scales``; Mod-Squad decays it like any other weight.
    Source: Liebel and Koerner, 2018, as in Mod-Squad (Chen et al., CVPR 2023). Differs: losses are not clamped to
    [-1000, 1000].

    Args:
        tasks, scale_by_loss_weight: See :class:`UncertaintyWeighting`.
    """

    adds_over_tasks = True

    def __init__(self, tasks: TaskSet, scale_by_loss_weight: bool = False) -> None:
        super().__init__(tasks, scale_by_loss_weight)
        self.scales = nn.Parameter(torch.ones(len(tasks)))

    def forward(self, losses: Losses) -> Losses:
        squares = (self.scales if self.scales.dtype == torch.float64 else self.scales.float()) ** 2
        terms = self.weighted(self.scaled(losses), 1 / (2 * squares))
        return {name: term + torch.log1p(squares[self.index[name]]) for name, term in terms.items()}
