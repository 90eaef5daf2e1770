"""Activation checkpointing for parts that hold batch norms."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


def recompute(function: Callable, *inputs: Tensor, norms: Sequence[nn.Module] = ()):
    """``function(*inputs)``, of which only the inputs are kept for the backward pass; it runs a second time there.

    Results and running statistics are those of a single pass: the batch norms in ``norms`` do not count the second one.
    Without gradients, and while the model is being compiled (where the compiler decides what to keep), it is a plain
    call.
    """
    if not torch.is_grad_enabled() or torch.compiler.is_compiling():
        return function(*inputs)
    frozen = [m for norm in norms for m in norm.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    return checkpoint(
        function, *inputs, use_reentrant=False, context_fn=lambda: (nullcontext(), _StatisticsKept(frozen))
    )


class _StatisticsKept:
    """Batch norms in training mode normalise as ever inside, but leave their running statistics alone.

    Entered once for every pass backward; there are several where gradients are taken task by task.
    """

    def __init__(self, norms: list) -> None:
        self.norms = norms

    def __enter__(self) -> None:
        self.momenta = [norm.momentum for norm in self.norms]
        self.counted = [norm.training and norm.track_running_stats for norm in self.norms]
        for norm in self.norms:
            norm.momentum = 0.0

    def __exit__(self, *error) -> None:
        for norm, momentum, counted in zip(self.norms, self.momenta, self.counted, strict=True):
            norm.momentum = momentum
            if counted and norm.num_batches_tracked is not None:
                norm.num_batches_tracked.sub_(1)
