"""Another sum of the tasks' gradients at the shared features, where they pull into different directions."""

from collections.abc import Sequence

import torch
from mmengine.dist import all_reduce, broadcast
from torch import Tensor, nn

from mlore_mm.models.features import Features
from mlore_mm.models.output import MultiTaskOutput
from mlore_mm.registry import MODELS


class GradientSurgery(nn.Module):
    """Gives the encoder sum_t w_t g_t in place of sum_t g_t, with g_t the gradient of task t at the shared features.

    A method is its rule for the weights, which sees the inner products of the gradients (:meth:`combine`). Decoder and
    criterion keep the gradients of the summed losses, and terms that belong to no task, such as a balance of the
    routing, reach the encoder as ever.

    The g_t are taken as soon as the losses are known. A hook on the features then adds sum_t (w_t - 1) g_t to what the
    ordinary backward pass brings there, so that pass goes once through the encoder, and optimizer wrappers, loss
    scaling, accumulation and distributed training need not know. Inner products are summed over the processes, as if
    one process had the whole batch.

    Cost in each step: T more passes backward through the decoder, T gradients of the size of the features in memory,
    and one wait for the device to hand over (T, T) numbers.
    """

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer('scale', torch.ones(()), persistent=False)  # d total / d loss in the last backward pass

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
            weights = self._weights(gradients)
            changes = [_weighted_sum(weights - 1, level) for level in zip(*gradients, strict=True)]
        next(iter(losses.values())).register_hook(self._remember_scale)
        for x, change in zip(feats, changes, strict=True):
            x.register_hook(lambda grad, change=change: grad + (change * (self.scale / scale)).to(grad.dtype))
        return {f'gradient_weight_{name}': weight for name, weight in zip(terms, weights, strict=True)}

    def _remember_scale(self, grad: Tensor) -> None:
        self.scale = grad.detach().float()

    def _weights(self, gradients: Sequence[Sequence[Tensor]]) -> Tensor:
        """(T,) on the device, the same in all processes; ones where a gradient overflowed, as AMP skips such steps."""
        gram = 0
        for level in zip(*gradients, strict=True):
            flat = torch.stack([g.flatten().float() for g in level])
            gram = gram + flat @ flat.t()
        all_reduce(gram, op='sum')
        values = gram.double().cpu()
        weights = self.combine(values) if values.isfinite().all() else torch.ones(len(values))
        weights = weights.to(gram)
        broadcast(weights, src=0)  # the methods may draw random numbers
        return weights


@MODELS.register_module()
class PCGrad(GradientSurgery):
    """From each task's gradient, take away what points against another's; then sum.

    In random order of the others j: g_i -= (g_i . g_j) / |g_j|^2 g_j where g_i . g_j < 0, with g_j as it was.
    Source: Yu et al., Gradient Surgery for Multi-Task Learning, NeurIPS 2020, Algorithm 1. Differs: at the shared
    features and not at the encoder's weights, which would take T passes through the encoder.
    """

    def combine(self, gram: Tensor) -> Tensor:
        count = len(gram)
        parts = torch.eye(count, dtype=gram.dtype)  # row i: the projected g_i in terms of the gradients
        for i in range(count):
            for j in torch.randperm(count).tolist():
                inner = parts[i] @ gram[:, j]
                if j != i and inner < 0:
                    parts[i, j] -= inner / gram[j, j]
        return parts.sum(dim=0)


@MODELS.register_module()
class AlignedMTL(GradientSurgery):
    """Turn and stretch the gradients as little as needed to make them orthogonal and of one length; then sum.

    That length is the smallest singular value of the gradients' matrix, so no task is followed further than the weakest
    common direction; with Adam, whose steps do not depend on it, it changes nothing. Gradients that are linear
    combinations of others, zero ones included, leave out directions.
    Source: Senushkin et al., Independent Component Alignment for Multi-Task Learning, CVPR 2023, Algorithm 1, at the
    shared representation as in Sec. 4.3. Differs: no weights of the tasks here, since the losses are weighted.
    """

    def combine(self, gram: Tensor) -> Tensor:
        values, vectors = torch.linalg.eigh(gram)
        kept = values > values[-1] * len(gram) * torch.finfo(torch.float32).eps
        if not kept.any():
            return torch.ones(len(gram), dtype=gram.dtype)
        values, vectors = values[kept], vectors[:, kept]
        return values.min().sqrt() * (vectors / values.sqrt()) @ vectors.sum(dim=0)


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
