"""GradNorm: weights that bring the tasks' gradients to sizes set by their training rates."""

from collections.abc import Sequence

import torch
from mmengine.dist import all_reduce, get_world_size
from torch import Tensor

from mlore_mm.models.features import Features
from mlore_mm.models.losses.weighting import Losses, _AdaptiveWeighting
from mlore_mm.registry import MODELS
from mlore_mm.tasks import TaskSet

_SCALE = 2.0**10  # small gradients would vanish in 16 bits


@MODELS.register_module()
class GradNormWeighting(_AdaptiveWeighting):
    """Learns weights w such that ``w_t |grad L_t|`` is the mean of these times ``r_t ** alpha``.

    r_t is the loss over its first value, relative to the mean of that over the tasks: a task that learns slowly gets a
    larger gradient. Each training step moves w along the gradient of ``sum_t |w_t n_t - target_t|``, targets held, and
    brings the sum of w back to T. Source: Chen et al., GradNorm, ICML 2018, Eq. 1 and 2, Algorithm 1. Differs:
    gradients are those at the features that the tasks share and not at the last shared weights; steps are relative to
    the mean size of the gradients, so that ``lr`` does not depend on the losses' unit; plain steps and not Adam's.

    Costs T backward passes through the decoder in each step.

    Args:
        tasks, scale_by_loss_weight: See :class:`UncertaintyWeighting`.
        alpha: How strongly slow tasks are favoured; 1.5 in the paper, 0 makes all gradients equally long.
        lr: Step size of the weights; 0.025 in the paper.
    """

    needs_features = True

    def __init__(
        self, tasks: TaskSet, scale_by_loss_weight: bool = False, alpha: float = 1.5, lr: float = 0.025
    ) -> None:
        super().__init__(tasks, scale_by_loss_weight)
        if alpha < 0 or lr <= 0:
            raise ValueError(f'GradNormWeighting needs alpha >= 0 and lr > 0, but got alpha={alpha} and lr={lr}.')
        self.alpha, self.lr = alpha, lr
        self.register_buffer('task_weights', torch.ones(len(tasks)))
        self.register_buffer('first', torch.full((len(tasks),), torch.nan))  # losses of the first step; NaN: none yet

    def forward(self, losses: Losses, feats: Features | None = None) -> Losses:
        losses = self.scaled(losses)
        weights = self.task_weights.clone()
        if self.training and torch.is_grad_enabled() and len(losses) == len(self.index):
            self._learn([losses[name] for name in self.index], _shared(feats))
        return self.weighted(losses, weights)

    def _learn(self, losses: Sequence[Tensor], feats: Sequence[Tensor]) -> None:
        squares = torch.stack([_squared_norm(loss, feats) for loss in losses]).to(self.first)
        values = torch.stack([loss.detach().float() for loss in losses]).to(self.first)
        both = torch.stack([squares / get_world_size() ** 2, values / get_world_size()])
        all_reduce(both, op='sum')
        norms, values = both[0].sqrt(), both[1]
        self.first.copy_(torch.where(self.first.isnan() & (values > 0), values, self.first))
        rates = torch.where(values > 0, values / self.first, 1.0)
        sizes = self.task_weights * norms
        targets = sizes.mean() * (rates / rates.mean()) ** self.alpha
        step = (sizes - targets).sign() * norms / sizes.mean()
        moved = (self.task_weights - self.lr * step).clamp(min=1e-3)
        moved = len(moved) * moved / moved.sum()
        self.task_weights.copy_(torch.where(moved.isfinite().all(), moved, self.task_weights))


def _squared_norm(loss: Tensor, feats: Sequence[Tensor]) -> Tensor:
    gradients = torch.autograd.grad(loss * _SCALE, feats, retain_graph=True, allow_unused=True)
    return sum((g.float() / _SCALE).square().sum() for g in gradients if g is not None) + loss.detach().float() * 0


def _shared(feats: Features | None) -> list[Tensor]:
    feats = [] if feats is None else [x for x in Features.wrap(feats).shared if x.requires_grad]
    if not feats:
        raise ValueError(
            'GradNormWeighting compares gradients at features that the tasks share, but there are none that need a '
            'gradient: the encoder is frozen, or gives every task its own features. Use another weighting.'
        )
    return feats
