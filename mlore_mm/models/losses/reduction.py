"""Mean over valid pixels, without asking the device how many there are."""

from dataclasses import dataclass

import torch
from torch import Tensor

from mlore_mm.models.ops.all_reduce import max_over_processes, num_processes, sum_over_processes


@dataclass(frozen=True)
class Reduction:
    """What means are taken over in a distributed run; the criterion passes it to every loss.

    Args:
        whole_batch: Means are over the valid pixels of all processes, in such shares that the mean over processes is
            exact. Distributed training averages the gradients of the processes. Where one has fewer valid pixels than
            another, the mean of their means is not the mean over the whole batch; with this it is, and the number of
            processes does not matter. It costs one all-reduce per task. False: each process for itself, as published.
    """

    whole_batch: bool = False

    def total(self, count: Tensor) -> Tensor:
        """A count over what the mean is taken over."""
        return sum_over_processes(count) if self.whole_batch else count

    def largest(self, x: Tensor) -> Tensor:
        """The largest value of ``x`` over what the mean is taken over, a constant for the gradient."""
        return max_over_processes(x.detach().amax()) if self.whole_batch else x.detach().amax()

    @property
    def share(self) -> int:
        """The factor of a process's sum, so that the mean over processes is the mean over ``total``."""
        return num_processes() if self.whole_batch else 1


PER_PROCESS = Reduction()


def masked_mean(values: Tensor, valid: Tensor, reduction: Reduction = PER_PROCESS) -> Tensor:
    """The sum of ``values`` (B, C, H, W) over valid pixels, divided by the number of valid pixels.

    Channels are summed. Without a valid pixel the result is a zero that keeps its gradient path, so that every process
    of a distributed run takes part in the backward pass.

    Args:
        values: Finite at valid pixels; what stands elsewhere does not matter.
        valid: (B, 1, H, W) bool.
        reduction: What the mean is over in a distributed run.
    """
    total = torch.where(valid, values, 0).sum() * reduction.share
    return total / reduction.total(valid.sum()).clamp(min=1)


def weighted_mean(values: Tensor, weights: Tensor, reduction: Reduction = PER_PROCESS) -> Tensor:
    """The sum of ``weights * values`` divided by the sum of ``weights``, both (B, C, H, W) and zero where not valid."""
    total = (weights * values).sum() * reduction.share
    return total / reduction.total(weights.sum()).clamp(min=1e-12)


def masked_share(condition: Tensor, valid: Tensor, reduction: Reduction = PER_PROCESS) -> Tensor:
    """The share of valid pixels at which ``condition`` (B, 1, H, W) holds; 0 without a valid pixel."""
    return reduction.total((condition & valid).sum()) / reduction.total(valid.sum()).clamp(min=1)


def mean_of_rows(rows: Tensor, reduction: Reduction = PER_PROCESS) -> Tensor:
    """Mean over the first axis, (R, N) to (N,)."""
    if not reduction.whole_batch:
        return rows.mean(dim=0)
    return reduction.total(rows.sum(dim=0)) / reduction.total(rows.new_tensor(len(rows)))


def at_valid(target: Tensor, valid: Tensor) -> Tensor:
    """``target`` in full precision with zeros at ignored pixels: no marker such as 255 or NaN enters arithmetic."""
    return full_precision(torch.where(valid, target, 0))


def full_precision(x: Tensor) -> Tensor:
    """fp32, or fp64 where it is that already."""
    return x if x.dtype == torch.float64 else x.float()
