"""Mean over valid pixels, without asking the device how many there are."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from mlore_mm.models.ops.all_reduce import num_processes, sum_over_processes

_WHOLE_BATCH = False


@contextmanager
def over_whole_batch(enabled: bool = True) -> Iterator[None]:
    """Inside, means are over the valid pixels of all processes, in such shares that the mean over processes is exact.

    Distributed training averages the gradients of the processes. Where one has fewer valid pixels than another, the
    mean of their means is not the mean over the whole batch; with this it is, and the number of processes does not
    matter. It costs one all-reduce per task.
    """
    global _WHOLE_BATCH
    before, _WHOLE_BATCH = _WHOLE_BATCH, enabled
    try:
        yield
    finally:
        _WHOLE_BATCH = before


def masked_mean(values: Tensor, valid: Tensor) -> Tensor:
    """The sum of ``values`` (B, C, H, W) over valid pixels, divided by the number of valid pixels.

    Channels are summed. Without a valid pixel the result is a zero that keeps its gradient path, so that every process
    of a distributed run takes part in the backward pass. See :func:`over_whole_batch` for several processes.

    Args:
        values: Finite at valid pixels; what stands elsewhere does not matter.
        valid: (B, 1, H, W) bool.
    """
    total, count = torch.where(valid, values, 0).sum(), valid.sum()
    if _WHOLE_BATCH:
        return total * num_processes() / sum_over_processes(count).clamp(min=1)
    return total / count.clamp(min=1)


def masked_share(condition: Tensor, valid: Tensor) -> Tensor:
    """The share of valid pixels at which ``condition`` (B, 1, H, W) holds; 0 without a valid pixel."""
    hits, count = (condition & valid).sum(), valid.sum()
    if _WHOLE_BATCH:
        hits, count = sum_over_processes(hits), sum_over_processes(count)
    return hits / count.clamp(min=1)


def mean_of_rows(rows: Tensor) -> Tensor:
    """Mean over the first axis, (R, N) to (N,)."""
    if not _WHOLE_BATCH:
        return rows.mean(dim=0)
    return sum_over_processes(rows.sum(dim=0)) / sum_over_processes(rows.new_tensor(len(rows)))


def at_valid(target: Tensor, valid: Tensor) -> Tensor:
    """``target`` in fp32 with zeros at ignored pixels, so that no marker value such as 255 or NaN enters arithmetic."""
    return torch.where(valid, target, 0).float()
