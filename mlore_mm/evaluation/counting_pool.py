"""Threads that count boundary pixels while images stream through."""

from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

import numpy as np

from mlore_mm.evaluation.functional.boundary import count_image

QUEUED_PER_WORKER = 8  # images that may wait in any case
QUEUED_BYTES = 2**28  # and as many more as take this much memory


class CountingPool:
    """Counts images in the order in which they are submitted, in threads beside the main one.

    Nearly all of a count is compiled code that lets other threads run, so that a thread is as good as a process, which
    would first have to import everything again. :meth:`submit` does not wait for them until ``QUEUED_BYTES`` of
    predictions wait (a thousand photos of 512x512), so that memory stays bounded and the network goes on. An error of a
    thread is raised by the next call, with the name of the image.

    Args:
        max_dist: See ``boundary_counts``.
        thresholds: See ``boundary_counts``.
        workers: Number of threads; 0 counts in the calling one.
    """

    def __init__(self, max_dist: float, thresholds: tuple[float, ...], workers: int) -> None:
        if workers < 0:
            raise ValueError(f'workers must be 0 (count in the calling thread) or more, but got {workers}.')
        self.max_dist = max_dist
        self.thresholds = tuple(thresholds)
        self.workers = workers
        self._executor: ThreadPoolExecutor | None = None
        self._pending: dict[Future, tuple[int, str, int]] = {}  # index, name, bytes
        self._results: list[np.ndarray | None] = []

    def __len__(self) -> int:
        """Images submitted since the last :meth:`drain`."""
        return len(self._results)

    @property
    def finished(self) -> int:
        """How many of them are counted."""
        return len(self._results) - len(self._pending)

    def submit(self, name: str, prediction: np.ndarray, labels: np.ndarray | str) -> None:
        """Queue an image for ``count_image``."""
        index = len(self._results)
        self._results.append(None)
        if self.workers == 0:
            self._results[index] = self._checked(
                name, lambda: count_image(prediction, labels, self.max_dist, self.thresholds)
            )
            return
        if self._executor is None:
            self._executor = ThreadPoolExecutor(self.workers)
        future = self._executor.submit(count_image, prediction, labels, self.max_dist, self.thresholds)
        self._pending[future] = (index, name, prediction.nbytes)
        waiting = sum(size for _, _, size in self._pending.values())
        self._collect(at_most=len(self._pending) if waiting <= QUEUED_BYTES else self.workers * QUEUED_PER_WORKER)

    def add_unlabelled(self) -> None:
        """Zero counts for an image without labels."""
        self._results.append(np.zeros((4, len(self.thresholds)), dtype=np.int64))

    def drain(self, on_progress: Callable[[int, int], None] | None = None) -> list[np.ndarray]:
        """Wait for every image, stop the threads, and return the counts in order.

        Args:
            on_progress: Called with the number of finished and of all images, whenever some have finished.
        """
        try:
            while self._pending:
                self._collect(at_most=len(self._pending) - 1)
                if on_progress is not None:
                    on_progress(self.finished, len(self))
            results, self._results = self._results, []
        finally:
            self.close()
        return results

    def close(self) -> None:
        """Stop the threads and forget everything that was submitted."""
        if self._executor is not None:
            self._executor.shutdown(wait=True, cancel_futures=True)
        self._executor = None
        self._pending.clear()
        self._results = []

    def _collect(self, at_most: int) -> None:
        """Take in finished images; block until no more than ``at_most`` are unfinished."""
        finished = [future for future in self._pending if future.done()]
        while len(self._pending) - len(finished) > at_most:
            finished = wait(self._pending, return_when=FIRST_COMPLETED).done
        for future in finished:
            index, name, _ = self._pending.pop(future)
            self._results[index] = self._checked(name, future.result)

    def _checked(self, name: str, count: Callable[[], np.ndarray]) -> np.ndarray:
        try:
            return count()
        except Exception as error:
            self.close()
            kind = ValueError if isinstance(error, ValueError | OSError) else RuntimeError
            raise kind(f"Boundary counts of image '{name}' failed: {error}") from error
