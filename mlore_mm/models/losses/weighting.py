"""How the losses of several tasks become weighted terms: fixed weights, and some that set themselves.

Further ones are in ``objective_weighting.py``, ``grad_norm.py`` and ``learned_scale.py``.

Each is a module called with unweighted losses by task, a full set or part of one, and returns weighted terms under the
same names. Parameters and buffers are vectors over the tasks, in their order, so checkpoints and distributed training
see them.
"""

import math

import torch
from mmengine.dist import all_reduce, broadcast
from torch import Tensor, nn

from mlore_mm.registry import MODELS
from mlore_mm.tasks import TaskSet

Losses = dict[str, Tensor]


@MODELS.register_module()
class FixedWeighting(nn.Module):
    """Every loss times ``loss_weight`` of its task."""

    adds_over_tasks = True  # terms of single tasks are those of all tasks together

    def __init__(self, tasks: TaskSet) -> None:
        super().__init__()
        self.weights = {name: task.loss_weight for name, task in tasks.items()}

    def forward(self, losses: Losses) -> Losses:
        return {name: self.weights[name] * loss for name, loss in losses.items()}


class _AdaptiveWeighting(nn.Module):
    """What the weightings below share: names, and what they start from.

    Args:
        tasks: The tasks of the model.
        scale_by_loss_weight: Multiply each loss by ``loss_weight`` of its task first. The papers do not; losses of
            very different size, such as a boundary loss of 0.05 beside a cross-entropy of 2, may want it.
    """

    def __init__(self, tasks: TaskSet, scale_by_loss_weight: bool = False) -> None:
        super().__init__()
        self.index = {name: i for i, name in enumerate(tasks)}
        self.scale = {name: task.loss_weight if scale_by_loss_weight else 1.0 for name, task in tasks.items()}

    def scaled(self, losses: Losses) -> Losses:
        return {name: self.scale[name] * loss for name, loss in losses.items()}

    def weighted(self, losses: Losses, weights: Tensor) -> Losses:
        """``weights`` (T,) applied to the losses that are there."""
        return {name: weights[self.index[name]] * loss for name, loss in losses.items()}


@MODELS.register_module()
class UncertaintyWeighting(_AdaptiveWeighting):
    """Learned homoscedastic uncertainty: exp(-s) L / 2 + s / 2 with a learned s = log(sigma^2) per task.

    The terms may be negative, and so may the total. The optimizer sees one parameter, ``log_variance``; at the small
    learning rates of pre-trained encoders give it a larger one, such as
    ``paramwise_cfg=dict(custom_keys={'log_variance': dict(lr_mult=100)})``.
    Source: Kendall, Gal and Cipolla, CVPR 2018, Eq. 7, with the same form for every kind of loss. Differs: the paper
    drops the factor 1/2 before classification losses.

    Args:
        tasks, scale_by_loss_weight: See ``_AdaptiveWeighting``.
        initial_log_variance: s at the start; log(1/2) gives every loss the weight 1.
    """

    adds_over_tasks = True

    def __init__(
        self, tasks: TaskSet, scale_by_loss_weight: bool = False, initial_log_variance: float = -math.log(2)
    ) -> None:
        super().__init__(tasks, scale_by_loss_weight)
        self.log_variance = nn.Parameter(torch.full((len(tasks),), float(initial_log_variance)))

    def forward(self, losses: Losses) -> Losses:
        log_variance = self.log_variance.float()
        terms = self.weighted(self.scaled(losses), torch.exp(-log_variance) / 2)
        return {name: term + log_variance[self.index[name]] / 2 for name, term in terms.items()}


@MODELS.register_module()
class RandomLossWeighting(_AdaptiveWeighting):
    """Weights drawn anew in every training step, the same in all processes: T softmax(z) with z ~ N(0, 1).

    Source: Lin et al., "Reasonable Effectiveness of Random Weighting", TMLR 2022. Differs: the weights add up to the
    number T of tasks and not to 1, so that their mean equals plain summation at the same learning rate.
    """

    def __init__(self, tasks: TaskSet, scale_by_loss_weight: bool = False) -> None:
        super().__init__(tasks, scale_by_loss_weight)
        self.register_buffer('anchor', torch.zeros(len(tasks)), persistent=False)  # knows the device

    def forward(self, losses: Losses) -> Losses:
        losses = self.scaled(losses)
        if not self.training:
            return losses
        draw = torch.randn_like(self.anchor)
        broadcast(draw, src=0)
        return self.weighted(losses, len(self.index) * draw.softmax(dim=0))


@MODELS.register_module()
class DynamicWeightAverage(_AdaptiveWeighting):
    """A task whose loss falls slowly gets more weight: T softmax(r / temperature), r = L(last) / L(one before).

    L is the mean over a period of training steps and over all processes. Weights are 1 in the first two periods.
    Source: Liu, Johns and Davison, CVPR 2019, Eq. 5. Differs: periods are counted in steps and not in epochs, since
    schedules here are.

    Args:
        tasks, scale_by_loss_weight: See ``_AdaptiveWeighting``.
        period: Steps per period, about one epoch in the paper.
        temperature: Larger is more even; 2 in the paper.
    """

    def __init__(
        self, tasks: TaskSet, scale_by_loss_weight: bool = False, period: int = 1000, temperature: float = 2.0
    ) -> None:
        super().__init__(tasks, scale_by_loss_weight)
        if period < 1 or temperature <= 0:
            raise ValueError(
                f'DynamicWeightAverage needs period >= 1 and temperature > 0, but got period={period} and '
                f'temperature={temperature}. Check `weighting` of the criterion.'
            )
        self.period = period
        self.temperature = temperature
        for name in ('total', 'count', 'last', 'before_last'):  # NaN marks a period that has not been
            self.register_buffer(name, torch.full((len(tasks),), 0.0 if name in ('total', 'count') else torch.nan))
        self.register_buffer('steps', torch.zeros(()))

    def forward(self, losses: Losses) -> Losses:
        losses = self.scaled(losses)
        ratio = torch.nan_to_num(self.last / self.before_last.clamp(min=1e-12), nan=1.0)
        known = ~(self.last.isnan() | self.before_last.isnan())
        ratio = torch.where(known.all(), ratio, torch.ones_like(ratio))
        weights = len(self.index) * (ratio / self.temperature).softmax(dim=0)
        if self.training:
            self._record(losses)
        return self.weighted(losses, weights)

    @torch.no_grad()
    def _record(self, losses: Losses) -> None:
        """Add one step; at the end of a period move the means along. Decided on the device: no host waits for it."""
        step = torch.zeros(2, len(self.index), device=self.total.device)
        for name, loss in losses.items():
            step[0, self.index[name]] = loss.detach().float()
            step[1, self.index[name]] = 1
        all_reduce(step, op='sum')
        self.total += step[0]
        self.count += step[1]
        self.steps += 1
        over = self.steps >= self.period
        self.before_last.copy_(torch.where(over, self.last, self.before_last))
        self.last.copy_(torch.where(over, self.total / self.count, self.last))
        for running in (self.total, self.count, self.steps):
            running.mul_(~over)
