"""Which entries of partially dynamic layers stay dynamic: Iterative Mode Partition.

Source: He et al., ACL 2023, after SNIP (Lee et al., ICLR 2019), GraSP (Wang et al., ICLR 2020) and SynFlow (Tanaka et
al., NeurIPS 2020).
"""

import math
import warnings
from collections.abc import Callable, Iterable, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from mlore_mm.models.layers import PartialWeight
from mlore_mm.models.ops.all_reduce import sum_over_processes

SCORES = ('snip', 'grasp', 'synflow', 'magnitude', 'random')
Losses = Callable[[], Iterable[Tensor]]


def densities(density: float, rounds: int, schedule: str = 'exponential') -> list[float]:
    """The share of entries that are dynamic after each round."""
    if not 0 < density <= 1 or rounds < 1 or schedule not in ('exponential', 'linear'):
        raise ValueError(
            "A partition needs 0 < density <= 1, rounds >= 1 and schedule 'exponential' or 'linear', but got "
            f'{density}, {rounds} and {schedule!r}.'
        )
    shares = [(e + 1) / rounds for e in range(rounds)]
    return [density**x if schedule == 'exponential' else 1 - (1 - density) * x for x in shares]


def partition(
    layers: Sequence[PartialWeight],
    losses: Losses,
    density: float,
    rounds: int = 1,
    schedule: str = 'exponential',
    scope: str = 'global',
    score: str = 'snip',
    control: str | None = None,
    kappa_min_per_layer: float = 0.0,
) -> list[dict]:
    """Set the masks of the layers; weights, statistics and ``requires_grad`` stay as they are.

    In every round all entries are scored with the masks in force, and those with the smallest scores become static.
    Entries that were static come back where their scores have grown. Ties at the threshold become static.

    Args:
        layers: The layers.
        losses: Called each round: the losses of the scoring batches, one after the other. For 'synflow' it gives the
            sum of the outputs instead, see :func:`linear_weights`.
        density: The share of entries that stay dynamic.
        rounds: Rounds.
        schedule: 'exponential' or 'linear' way to that share.
        scope: 'global', all entries compete; 'local', those of a layer.
        score: 'snip', the sum over the batches of dL/dM, without its sign; 'grasp', weight times Hessian times
            gradient; 'synflow', weight times its gradient; 'magnitude'; 'random'.
        control: 'invert' (the worst entries) or 'shuffle' (scores change places within each layer). Differs: the
            published shuffle changes nothing.
        kappa_min_per_layer: With scope 'global' a layer keeps at least this share, and one entry at least. Differs:
            published layers can lose them all.

    Returns:
        For each round ``density``, ``scores`` and ``masks`` of the layers, and ``kappa`` of each.

    Raises:
        ValueError: Nothing to partition, or unknown options.
    """
    layers = list(layers)
    if not layers or any(layer.is_compact for layer in layers):
        raise ValueError('There is no partially dynamic layer to partition, or one that is compact already.')
    if score not in SCORES or scope not in ('global', 'local') or control not in (None, 'invert', 'shuffle'):
        raise ValueError(
            f"score is one of {SCORES}, scope 'global' or 'local', control None, 'invert' or 'shuffle', but got "
            f'{score!r}, {scope!r} and {control!r}.'
        )
    history = []
    for share in densities(density, rounds, schedule):
        scores = _controlled(_SCORES[score](layers, losses), control)
        masks = _keep_largest(scores, share, scope)
        if scope == 'global':
            masks = [_at_least(m, x, kappa_min_per_layer) for m, x in zip(masks, scores, strict=True)]
        with torch.no_grad():
            for layer, mask in zip(layers, masks, strict=True):
                layer.mask.copy_(mask)
        history.append(dict(density=share, scores=scores, masks=masks, kappa=[layer.kappa for layer in layers]))
    wanted, kept = density * sum(m.numel() for m in masks), sum(int(m.sum()) for m in masks)
    if kept - wanted >= 5:
        warnings.warn(f'The partition left {kept} entries dynamic where {wanted:.0f} were wanted.', stacklevel=2)
    return history


# ---- from scores to masks ------------------------------------------------------------------------------------------
def _keep_largest(scores: list[Tensor], density: float, scope: str) -> list[Tensor]:
    if scope == 'local':
        return [_above(x, _threshold(x.flatten(), density)) for x in scores]
    bar = _threshold(torch.cat([x.flatten() for x in scores]), density)
    return [_above(x, bar) for x in scores]


def _threshold(scores: Tensor, density: float) -> Tensor | None:
    """The j-th smallest score, j = int((1 - density) n); None for j = 0."""
    j = int((1 - density) * scores.numel())
    return scores.kthvalue(j).values if j >= 1 else None


def _above(scores: Tensor, bar: Tensor | None) -> Tensor:
    return torch.ones_like(scores) if bar is None else (scores > bar).to(scores.dtype)


def _at_least(mask: Tensor, scores: Tensor, kappa: float) -> Tensor:
    """The mask, or that of the best entries where it holds too few."""
    needed = max(1, math.ceil(kappa * mask.numel()))
    if int(mask.sum()) >= needed:
        return mask
    best = scores.flatten().topk(needed).indices
    return torch.zeros_like(mask).flatten().index_fill(0, best, 1).view_as(mask)


def _controlled(scores: list[Tensor], control: str | None) -> list[Tensor]:
    if control == 'invert':
        return [1 / x for x in scores]
    if control == 'shuffle':
        return [x.flatten()[_drawn(torch.randperm(x.numel(), device=x.device))].view_as(x) for x in scores]
    return scores


# ---- scores --------------------------------------------------------------------------------------------------------
def _snip(layers: Sequence[PartialWeight], losses: Losses) -> list[Tensor]:
    with _scored(layers) as masks:
        sums = [torch.zeros_like(mask) for mask in masks]
        for loss in losses():
            for total, grad in zip(sums, torch.autograd.grad(loss, masks, allow_unused=True), strict=True):
                if grad is not None:
                    total += grad
    scores = [sum_over_processes(total).abs() for total in sums]
    together = sum(x.sum() for x in scores)
    if not torch.isfinite(together) or together == 0:
        raise ValueError(f'The scores of the partition add up to {float(together)}: the masks have no gradient.')
    return [x / together for x in scores]


def _grasp(layers: Sequence[PartialWeight], losses: Losses) -> list[Tensor]:
    stacks = [layer.stack for layer in layers]
    before = [torch.zeros_like(x) for x in stacks]
    for loss in losses():  # the gradient of all batches, which the Hessian is multiplied with
        for total, grad in zip(before, torch.autograd.grad(loss, stacks), strict=True):
            total += grad
    before = [sum_over_processes(x) for x in before]
    products = [torch.zeros_like(x) for x in stacks]
    for loss in losses():
        grads = torch.autograd.grad(loss, stacks, create_graph=True)
        inner = sum((g * b).sum() for g, b in zip(grads, before, strict=True))
        for total, product in zip(products, torch.autograd.grad(inner, stacks), strict=True):
            total += product
    scores = [
        layer.stack_mean(layer.stack.detach() * sum_over_processes(x))
        for layer, x in zip(layers, products, strict=True)
    ]
    together = sum(x.sum() for x in scores).abs() + 1e-10
    return [x / together for x in scores]


def _synflow(layers: Sequence[PartialWeight], losses: Losses) -> list[Tensor]:
    stacks = [layer.stack for layer in layers]
    sums = [torch.zeros_like(x) for x in stacks]
    for total_output in losses():
        for total, grad in zip(sums, torch.autograd.grad(total_output, stacks), strict=True):
            total += grad
    scores = [layer.stack_mean((layer.stack.detach() * g).abs()) for layer, g in zip(layers, sums, strict=True)]
    return [x / sum(y.sum() for y in scores) for x in scores]


def _magnitude(layers: Sequence[PartialWeight], losses: Losses) -> list[Tensor]:
    return [layer.stack_mean(layer.stack.detach().abs()) for layer in layers]


def _random(layers: Sequence[PartialWeight], losses: Losses) -> list[Tensor]:
    return [_drawn(torch.randn_like(layer.mask)) for layer in layers]


_SCORES = dict(snip=_snip, grasp=_grasp, synflow=_synflow, magnitude=_magnitude, random=_random)


@contextmanager
def _scored(layers: Sequence[PartialWeight]):
    """The masks with a gradient, defined for entries that are static now as well."""
    masks = [layer.mask for layer in layers]
    for mask in masks:
        mask.requires_grad_(True)
    try:
        yield masks
    finally:
        for mask in masks:
            mask.requires_grad_(False)


@contextmanager
def linear_weights(model: nn.Module):
    """For SynFlow: the absolute values of all parameters, for as long as this lasts."""
    kept = [x.detach().clone() for x in model.parameters()]
    with torch.no_grad():
        for x in model.parameters():
            x.abs_()
    try:
        yield
    finally:
        with torch.no_grad():
            for x, value in zip(model.parameters(), kept, strict=True):
                x.copy_(value)


def _drawn(x: Tensor) -> Tensor:
    """The main process's random numbers in all of them."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.broadcast(x, 0)
    return x
