"""Sums over the processes of a distributed run that gradients pass through, and largest values."""

import torch.distributed as dist
from torch import Tensor
from torch.distributed.nn.functional import all_reduce


def sum_over_processes(x: Tensor) -> Tensor:
    """The sum of every process's ``x``, the same in all; ``x`` itself in a single process.

    All processes have to call it, in the same order, and to take the backward pass through it if one does. The gradient
    of each ``x`` is the sum of the gradients of all results, since every result depends on it.
    """
    if not dist.is_available() or not dist.is_initialized() or dist.get_world_size() == 1:
        return x
    return all_reduce(x)


def max_over_processes(x: Tensor) -> Tensor:
    """The largest of every process's ``x``, element by element and without gradient."""
    largest = x.detach()
    if num_processes() > 1:
        largest = largest.clone()
        dist.all_reduce(largest, op=dist.ReduceOp.MAX)
    return largest


def num_processes() -> int:
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1
