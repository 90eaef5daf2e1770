"""The progress bar of all command lines."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TextIO, TypeVar

T = TypeVar('T')


class ProgressLine:
    """A line that is rewritten on a terminal, and about one line per tenth of the work in a log.

    Called with the work done and the whole, it prints ``train [######    ] 340/700 iterations, 61 s, 64 s left``.

    Args:
        title: First words of the line.
        unit: What is counted.
        stream: Where to print; by default the program's own output, even while ``sys.stdout`` is redirected.
    """

    def __init__(self, title: str, unit: str = 'images', stream: TextIO | None = None) -> None:
        self.title, self.unit = title, unit
        self.stream = stream or sys.__stdout__
        self.start, self.tenth, self.longest = time.monotonic(), 0, 0

    def __call__(self, done: int, total: int) -> None:
        live, tenth = self.stream.isatty(), 10 * done // total
        if not live and tenth == self.tenth:
            return
        self.tenth = tenth
        spent = time.monotonic() - self.start
        bar = '#' * (30 * done // total)
        text = f'{self.title} [{bar:<30}] {done}/{total} {self.unit}, {spent:.0f} s'
        if done < total:
            text += f', {spent / max(done, 1) * (total - done):.0f} s left'
        self.longest = max(self.longest, len(text))
        end = '\n' if done == total or not live else ''
        print(f'\r{text:<{self.longest}}' if live else text, end=end, file=self.stream, flush=True)


def track(items: Iterable[T], total: int, title: str, unit: str = 'images') -> Iterator[T]:
    """The items as they come, with a :class:`ProgressLine`."""
    line = ProgressLine(title, unit)
    for done, item in enumerate(items, start=1):
        line(done, total)
        yield item
