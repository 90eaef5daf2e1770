"""What only a GPU has: kernels per call, and the time that its arithmetic or its memory would need at the least."""

from collections.abc import Callable

import torch
from stopwatch import copy_rate, interleaved, matrix_product
from torch import nn
from torch.profiler import ProfilerActivity, profile


def kernels_per_call(function: Callable[[], object]) -> int:
    """Kernels, without copies and fills by the driver, of one call after two to warm up."""
    for _ in range(2):
        function()
    torch.cuda.synchronize()
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as trace:
        function()
        torch.cuda.synchronize()
    events = [e for e in trace.events() if e.device_type == torch.autograd.DeviceType.CUDA]
    return sum(not event.name.startswith(('Memcpy', 'Memset')) for event in events)


class Roofline:
    """The two rates of a GPU, measured once: large matrix products and large copies."""

    def __init__(self, device: str, precision: str) -> None:
        product, operations = matrix_product(device, precision)
        self.flops = operations / interleaved({'product': product}, device, rounds=10)['product'].median
        self.bytes = copy_rate(device)

    def floor(self, macs: int, moved: int) -> float:
        """Seconds below which no computation of so many multiply-accumulates over so many bytes can get."""
        return max(2 * macs / self.flops, moved / self.bytes)


def least_bytes(head: nn.Module, feats: list, logits: dict, precision: str) -> int:
    """Weights and features read once and logits written once, in the precision of the computation."""
    weights = sum(x.numel() for x in (*head.parameters(), *head.buffers()))
    numbers = weights + sum(x.numel() for x in feats) + sum(x.numel() for x in logits.values())
    return numbers * (2 if precision == 'bf16' else 4)
