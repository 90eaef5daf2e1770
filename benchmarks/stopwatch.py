"""Time of several functions that take turns, so that a machine that slows down slows all of them down."""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch

Function = Callable[[], object]
CLOCK = time.perf_counter  # of calls on the CPU; time.process_time with one thread is steadier on a busy machine


@dataclass(frozen=True)
class Timing:
    """Seconds of each counted call, in order."""

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    @property
    def spread(self) -> str:
        """Fastest and slowest call."""
        return f'{min(self.seconds):.3g}..{max(self.seconds):.3g}'


def interleaved(
    functions: Mapping[str, Function], device: str, rounds: int = 5, budget: float = 120.0
) -> dict[str, Timing]:
    """Call A, B, C, A, B, C, ... and time every call; the first round (three on a GPU) warms up and does not count.

    Args:
        functions: By name.
        device: 'cpu' is timed by the clock; 'cuda' by events, from an empty queue to the end of the last kernel.
        rounds: Counted rounds.
        budget: Seconds after which no further round is started, provided that there are three.
    """
    timer = _seconds_cuda if device.startswith('cuda') else _seconds_cpu
    for _ in range(3 if device.startswith('cuda') else 1):
        for function in functions.values():
            timer(function)
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    start = time.perf_counter()
    for index in range(rounds):
        if index >= 3 and time.perf_counter() - start > budget:
            break
        for name, function in functions.items():
            seconds[name].append(timer(function))
    return {name: Timing(tuple(values)) for name, values in seconds.items()}


def _seconds_cpu(function: Function) -> float:
    start = CLOCK()
    function()
    return CLOCK() - start


def _seconds_cuda(function: Function) -> float:
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    torch.cuda.synchronize()
    start.record()
    function()
    end.record()
    torch.cuda.synchronize()
    return start.elapsed_time(end) / 1000


def matrix_product(device: str, precision: str) -> tuple[Function, float]:
    """A large square matrix product in the given precision, and its floating-point operations."""
    n = 8192 if device.startswith('cuda') else 3072
    dtype = torch.bfloat16 if precision == 'bf16' else torch.float32
    a, b = torch.randn(2, n, n, device=device, dtype=dtype)
    return lambda: a @ b, 2.0 * n**3


def copy_rate(device: str) -> float:
    """Bytes read and written per second by a large copy on the device."""
    source = torch.empty(2**28, dtype=torch.float32, device=device).normal_()  # 1 GiB
    target = torch.empty_like(source)
    timing = interleaved({'copy': lambda: target.copy_(source)}, device)['copy']
    return 2 * source.numel() * source.element_size() / timing.median
