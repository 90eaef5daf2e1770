"""Weightings by another objective than the sum: geometric mean, smooth maximum, and equal relative progress."""

import torch
from mmengine.dist import all_reduce
from torch import Tensor

from mlore_mm.models.losses.weighting import Losses, _AdaptiveWeighting
from mlore_mm.registry import MODELS
from mlore_mm.tasks import TaskSet


class _ObjectiveWeighting(_AdaptiveWeighting):
    """Weighs each loss by the derivative of an objective of all losses, so that the sum has its gradient.

    Losses that are exactly 0, as those of a batch without labels, take no part.
    """

    def forward(self, losses: Losses) -> Losses:
        losses = self.scaled(losses)
        values = torch.stack([loss.detach().float() for loss in losses.values()])
        names = list(losses)
        weights = self.weights(values, names, values > 0)
        return {name: weight * losses[name] for name, weight in zip(names, weights, strict=True)}

    def weights(self, values: Tensor, names: list[str], present: Tensor) -> Tensor:
        """Losses (T,) of the named tasks to weights (T,); ``present`` (T,) says which of them are above 0."""
        raise NotImplementedError


@MODELS.register_module()
class GLSWeighting(_ObjectiveWeighting):
    """Geometric mean of the losses, (L_1 ... L_T)^(1/T): every task counts by its relative change.

    Weight t is ``mean / (T L_t)``, so the terms are equal and add up to the mean.
    Source: Chennupati et al., MultiNet++, CVPR Workshops 2019.

    Args:
        tasks, scale_by_loss_weight: See :class:`UncertaintyWeighting`.
    """

    def weights(self, values: Tensor, names: list[str], present: Tensor) -> Tensor:
        count = present.sum().clamp(min=1)
        logs = torch.where(present, values, 1.0).log()
        return torch.where(present, (logs.sum() / count).exp() / (count * values.clamp(min=1e-30)), 0.0)


@MODELS.register_module()
class STCHWeighting(_ObjectiveWeighting):
    """Smooth maximum of the losses' logarithms, ``T mu log sum_t exp(log(L_t / n_t) / mu)``: the worst task leads.

    n_t is the mean of L_t over the first ``warmup`` steps and all processes; in these steps the objective is the sum of
    the logarithms. Source: Lin et al., Smooth Tchebycheff Scalarization, ICML 2024, with ideal values 0 and equal
    preferences; the logarithm, the reference and the factor T as in their multi-task experiments.

    Args:
        tasks, scale_by_loss_weight: See :class:`UncertaintyWeighting`.
        mu: Smoothness; small values look at the worst task alone.
        warmup: Steps.
        log: Whether the logarithm is taken; False uses the losses as they are, and no reference.
    """

    def __init__(
        self, tasks: TaskSet, scale_by_loss_weight: bool = False, mu: float = 0.5, warmup: int = 0, log: bool = True
    ) -> None:
        super().__init__(tasks, scale_by_loss_weight)
        if mu <= 0 or warmup < 0:
            raise ValueError(f'STCHWeighting needs mu > 0 and warmup >= 0, but got mu={mu} and warmup={warmup}.')
        self.mu, self.warmup, self.log = mu, warmup, log
        for name in ('total', 'count'):
            self.register_buffer(name, torch.zeros(len(tasks)))
        self.register_buffer('steps', torch.zeros(()))

    def weights(self, values: Tensor, names: list[str], present: Tensor) -> Tensor:
        if not self.log:
            return len(values) * torch.where(present, values / self.mu, -torch.inf).softmax(dim=0).nan_to_num(0.0)
        index = torch.stack([self.total.new_tensor(self.index[name], dtype=torch.long) for name in names])
        reference = (self.total / self.count.clamp(min=1))[index]
        reference = torch.where(reference > 0, reference, 1.0)
        logs = torch.where(present, (values.clamp(min=1e-30) / reference).log() / self.mu, -torch.inf)
        shares = len(values) * logs.softmax(dim=0).nan_to_num(0.0)
        shares = torch.where(self.steps < self.warmup, torch.ones_like(shares), shares)
        if self.training and self.warmup:
            self._record(values, index, present)
        return torch.where(present, shares / values.clamp(min=1e-30), 0.0)

    def _record(self, values: Tensor, index: Tensor, present: Tensor) -> None:
        step = torch.zeros(2, len(self.index), device=self.total.device)
        step[0, index] = torch.where(present, values, 0.0)
        step[1, index] = present.float()
        all_reduce(step, op='sum')
        within = self.steps < self.warmup
        self.total += step[0] * within
        self.count += step[1] * within
        self.steps += within


@MODELS.register_module()
class FAMOWeighting(_ObjectiveWeighting):
    """Weights that let all tasks improve at one relative rate, learned from the losses alone.

    With z = softmax(xi), weight t is ``T c z_t / L_t`` where c makes the weights add up to T. After a step, with the
    progress d_t = log L_t(before) - log L_t(after), ``xi -= lr (z * (d - z . d) + decay xi)``: a task that progressed
    more gets less. Source: Liu et al., FAMO, NeurIPS 2023, Algorithm 1. Differs: "after" is the loss of the next batch,
    where the paper computes the same batch a second time; the mean over the processes; the factor T.

    Args:
        tasks, scale_by_loss_weight: See :class:`UncertaintyWeighting`.
        lr: Step size of xi; 0.025 in the paper.
        decay: Pull towards even weights; 0.001 in the paper.
    """

    def __init__(
        self, tasks: TaskSet, scale_by_loss_weight: bool = False, lr: float = 0.025, decay: float = 1e-3
    ) -> None:
        super().__init__(tasks, scale_by_loss_weight)
        if lr <= 0 or decay < 0:
            raise ValueError(f'FAMOWeighting needs lr > 0 and decay >= 0, but got lr={lr} and decay={decay}.')
        self.lr, self.decay = lr, decay
        self.register_buffer('xi', torch.zeros(len(tasks)))
        self.register_buffer('before', torch.full((len(tasks),), torch.nan))  # log L of the last step; NaN: none yet

    def weights(self, values: Tensor, names: list[str], present: Tensor) -> Tensor:
        if self.training and len(names) == len(self.index):
            self._learn(values, present)
        index = torch.stack([self.before.new_tensor(self.index[name], dtype=torch.long) for name in names])
        raw = torch.where(present, self.xi.softmax(dim=0)[index] / values.clamp(min=1e-30), 0.0)
        return len(values) * raw / raw.sum().clamp(min=1e-30)

    def _learn(self, values: Tensor, present: Tensor) -> None:
        sums = torch.stack([torch.where(present, values, 0.0), present.float()])
        all_reduce(sums, op='sum')
        after = torch.where(sums[1] > 0, (sums[0] / sums[1].clamp(min=1)).clamp(min=1e-30).log(), torch.nan)
        z = self.xi.softmax(dim=0)
        progress = torch.nan_to_num(self.before - after, nan=0.0)
        known = (~self.before.isnan()).any()
        self.xi -= known * self.lr * (z * (progress - z @ progress) + self.decay * self.xi)
        self.before.copy_(torch.where(after.isnan(), self.before, after))
