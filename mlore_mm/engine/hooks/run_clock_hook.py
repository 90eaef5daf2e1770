"""What a training costs in time and memory, through interruptions."""

import json
import resource
import sys
import time
from contextlib import suppress
from pathlib import Path

import torch
from mmengine.hooks import Hook

from mlore_mm.registry import HOOKS
from mlore_mm.utils.whole_files import write_whole

_EVERY = 20


@HOOKS.register_module()
class RunClockHook(Hook):
    """Keeps seconds of training, without validations, and the peak of memory in a file; a resumed training goes on.

    Iterations that are computed again after a kill count once, at the mean of those before.

    Args:
        file: A JSON file with ``iterations``, ``seconds``, ``recent`` (seconds of each of the first ten iterations, of
            this start) and ``memory`` in bytes.
    """

    priority = 'LOW'

    def __init__(self, file: str) -> None:
        self.file = Path(file)
        self.seconds, self.memory, self.recent, self.last = 0.0, 0, [], 0.0

    def before_train(self, runner) -> None:
        self.last = time.monotonic()
        earlier = read_clock(self.file)
        if runner.iter and earlier.get('iterations'):
            self.seconds = earlier['seconds'] * runner.iter / earlier['iterations']
            self.memory = earlier['memory']

    def after_train_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        now = time.monotonic()
        self.seconds += now - self.last
        if len(self.recent) < 10:
            self.recent.append(now - self.last)
        self.last = now
        if (runner.iter + 1) % _EVERY == 0 or runner.iter + 1 == runner.max_iters:
            self.write(runner.iter + 1)

    def after_val_epoch(self, runner, metrics=None) -> None:
        self.last = time.monotonic()

    def write(self, iterations: int) -> None:
        self.memory = max(self.memory, peak_memory())
        content = dict(iterations=iterations, seconds=self.seconds, recent=self.recent, memory=self.memory)
        write_whole(self.file, json.dumps(content), lasting=False)


def read_clock(file: str | Path) -> dict:
    """What :class:`RunClockHook` wrote; empty where there is nothing whole."""
    with suppress(OSError, ValueError):
        content = json.loads(Path(file).read_text())
        return content if isinstance(content, dict) else {}
    return {}


def peak_memory() -> int:
    """Bytes: of the accelerator where there is one, else of this process, without its loader's workers."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    with suppress(OSError, StopIteration, ValueError):  # `ru_maxrss` would count the parent before the exec as well
        lines = Path('/proc/self/status').read_text().splitlines()
        return 1024 * int(next(line for line in lines if line.startswith('VmHWM:')).split()[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == 'darwin' else 1024)
