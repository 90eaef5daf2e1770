"""Gradient surgery: the encoder learns from another combination of the tasks' gradients than their sum."""

from collections.abc import Sequence

import torch
from mmengine.dist import all_reduce, broadcast, get_world_size
from torch import Tensor, nn

from mlore_mm.models.features import Features
from mlore_mm.models.output import MultiTaskOutput

Levels = Sequence[Sequence[Tensor]]


class GradientSurgery(nn.Module):
    """Replaces the sum of the tasks' gradients at the shared features by sum_t w_t g_t, or by another combination.

    A method is its rule: :meth:`combine` gives the weights w from the inner products of the gradients; a method that
    works on single numbers overrides :meth:`changes`. Decoder and criterion keep the gradients of the summed
    losses, and terms that belong to no task, such as the load balance of the routers, reach the encoder unchanged.

    The gradients are computed when the losses are known. A hook on the features then adds the difference to what the
    ordinary backward pass brings there. That pass goes through the encoder once, and optimizer wrappers, loss scaling,
    gradient accumulation and distributed training work as without surgery. Inner products are summed over the
    processes, as if one process had the whole batch.

    Cost of a step: T more backward passes through the decoder, T gradients of the size of the features in memory, and
    one synchronisation with the device for (T, T) numbers.
    """

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer('scale', torch.ones(()), persistent=False)  # d total / d loss in the last backward pass

    def prepare(self, num_tasks: int) -> None:
        """Called once by the segmentor; a method that remembers something makes its buffers here."""

    def combine(self, gram: Tensor) -> Tensor:
        """Inner products of the gradients (T, T), finite, float64, to weights (T,)."""
        raise NotImplementedError

    def forward(self, feats: Features, losses: dict[str, Tensor], output: MultiTaskOutput) -> dict[str, Tensor]:
        """Prepare the backward pass of these losses.

        Args:
            feats: What the encoder returned; its shared levels are what the gradients are taken at.
            losses: Terms by log key, as the criterion returns them.
            output: What they were computed from.

        Returns:
            The weight of each task, for the log, as ``gradient_weight_<task>``.

        Raises:
            ValueError: There are no shared features, or none that needs a gradient.
        """
        feats = _shared(Features.wrap(feats))
        terms = task_terms(losses, output)
        if len(terms) < 2:
            return {}
        scale = self.scale  # that of the coming pass but for rare steps; small gradients would vanish in 16 bits
        with torch.autocast(feats[0].device.type, enabled=False):
            gradients = [_gradients(loss, feats, scale) for loss in terms.values()]
            changes, weights = self.changes(list(zip(*gradients, strict=True)), scale)
        next(iter(losses.values())).register_hook(self._remember_scale)
        for x, change in zip(feats, changes, strict=True):
            x.register_hook(lambda grad, change=change: grad + (change * (self.scale / scale)).to(grad.dtype))
        return {} if weights is None else dict(zip((f'gradient_weight_{name}' for name in terms), weights, strict=True))

    def changes(self, levels: Levels, scale: Tensor) -> tuple[list[Tensor], Tensor | None]:
        """What to add to the sum of the gradients at each level, and the weights (T,) where the method has some.

        Args:
            levels: For every level of the features the gradient of each task, times ``scale``.
            scale: A number.
        """
        weights = self._weights(levels, scale)
        return [_weighted_sum(weights - 1, level) for level in levels], weights

    def _remember_scale(self, grad: Tensor) -> None:
        self.scale = grad.detach().float()

    def _weights(self, levels: Levels, scale: Tensor) -> Tensor:
        """(T,) on the device, the same in all processes; ones where a gradient overflowed, as AMP skips such steps."""
        gram = 0
        for level in levels:
            flat = torch.stack([g.flatten().float() for g in level])
            gram = gram + flat @ flat.t()
        all_reduce(gram, op='sum')
        values = gram.double().cpu()
        if values.isfinite().all():
            # Some methods depend on the size: that of the unscaled losses, averaged over the processes.
            values = values / (scale.double().cpu() * get_world_size()) ** 2
        weights = self.combine(values) if values.isfinite().all() else torch.ones(len(values))
        weights = weights.to(gram)
        broadcast(weights, src=0)  # the methods may draw random numbers
        return weights


def task_terms(losses: dict[str, Tensor], output: MultiTaskOutput) -> dict[str, Tensor]:
    """Each task's own terms added up: of its final logits, and of its auxiliary ones."""
    terms = {name: losses[f'loss_{name}'] for name in output.logits}
    for group, logits in output.auxiliary.items():
        for name in logits:
            terms[name] = terms.get(name, 0) + losses[f'loss_{group}_{name}']
    return terms


def _shared(feats: Features) -> list[Tensor]:
    if not feats.is_shared:
        raise ValueError(
            'gradient_surgery needs features that the tasks share, but this backbone is task-conditioned and gives '
            'every task its own. Remove gradient_surgery from the model.'
        )
    feats = [x for x in feats.shared if x.requires_grad]
    if not feats:
        raise ValueError(
            'gradient_surgery changes what the encoder learns, but the features need no gradient: the encoder is '
            'frozen. Remove gradient_surgery, or frozen_backbone=True, from the model.'
        )
    return feats


def _gradients(loss: Tensor, feats: Sequence[Tensor], scale: Tensor) -> list[Tensor]:
    """Of one task at every level, times ``scale``; zeros at levels that it does not use."""
    return list(
        torch.autograd.grad(loss, feats, scale.to(loss), retain_graph=True, allow_unused=True, materialize_grads=True)
    )


def _weighted_sum(weights: Tensor, gradients: Sequence[Tensor]) -> Tensor:
    return sum(weight * gradient.float() for weight, gradient in zip(weights, gradients, strict=True))
