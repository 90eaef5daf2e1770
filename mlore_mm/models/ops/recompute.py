"""Activation checkpointing of functions that contain batch norms."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


def recompute(function: Callable, *inputs: Tensor, norms: Sequence[nn.Module] = ()):
    """``function(*inputs)`` with activation checkpointing: only the inputs are stored, the backward pass runs it again.

    The running statistics of the batch norms in ``norms`` are updated in the first pass only. Without gradients, and
    under ``torch.compile`` (which decides by itself what to recompute), this is an ordinary call.
    """
    if not torch.is_grad_enabled() or torch.compiler.is_compiling():
        return function(*inputs)
    frozen = [m for norm in norms for m in norm.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    return checkpoint(
        function, *inputs, use_reentrant=False, context_fn=lambda: (nullcontext(), _StatisticsKept(frozen))
    )


class _StatisticsKept:
    """Context in which batch norms in training mode do not update their running statistics.

    Entered once per backward pass; there are several where gradients are computed per task.
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
