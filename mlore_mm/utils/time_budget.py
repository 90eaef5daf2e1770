"""Where the time of an evaluation goes, by part."""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch

_active: ContextVar['TimeBudget | None'] = ContextVar('time_budget', default=None)


class TimeBudget:
    """Seconds by the name of a part; a part inside of another one does not count for the outer one.

    >>> budget = TimeBudget()
    >>> with budget.running(), spent('model'):
    ...     pass
    >>> budget.seconds['model']
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._inner = [0.0]  # per open part the seconds of what was inside of it

    @contextmanager
    def running(self) -> Iterator[None]:
        """:func:`spent` counts for this budget inside."""
        token = _active.set(self)
        try:
            yield
        finally:
            _active.reset(token)

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Count for ``name`` what is done inside."""
        self._inner.append(0.0)
        start = time.perf_counter()
        try:
            yield
        finally:
            took = time.perf_counter() - start
            self.seconds[name] = self.seconds.get(name, 0.0) + took - self._inner.pop()
            self._inner[-1] += took

    def waiting(self, name: str, items: Iterable) -> Iterator:
        """The items, with the time until each is there counted for ``name``."""
        iterator, end = iter(items), object()
        while True:
            with self.part(name):
                item = next(iterator, end)
            if item is end:
                return
            yield item

    def describe(self, images: int) -> str:
        """One line, such as '12.0 s for 90 images: load 0.1 s (1%), model 11.0 s (92%), ...'."""
        total = sum(self.seconds.values())
        parts = (f'{name} {s:.1f} s ({s / max(total, 1e-9):.0%})' for name, s in self.seconds.items())
        return f'{total:.1f} s for {images} images: {", ".join(parts)}'


@contextmanager
def spent(name: str, device: torch.device | None = None) -> Iterator[None]:
    """Count for ``name`` of the running :class:`TimeBudget`, if there is one; a GPU's queue is waited for then."""
    budget = _active.get()
    if budget is None:
        yield
        return
    with budget.part(name):
        yield
        if device is not None and device.type == 'cuda':
            torch.cuda.synchronize(device)
