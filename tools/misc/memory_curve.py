"""Train for some hundred iterations, watch the memory, and say how fast it grows.

Example:
    python tools/misc/memory_curve.py configs/mlore/mlore_tiny_synthrooms_nyud.py --iters 500

The slope is a straight line through the second half of the curve, of this process and of the loader's workers.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

import numpy as np
from mmengine.config import DictAction
from mmengine.hooks import Hook

from mlore_mm.apis import load_config
from mlore_mm.registry import RUNNERS

PAGE = os.sysconf('SC_PAGE_SIZE')


def resident(pid: int | str = 'self') -> float:
    """Memory of a process that is its own (not shared with others), in MB."""
    size, shared = map(int, Path(f'/proc/{pid}/statm').read_text().split()[1:3])
    return (size - shared) * PAGE / 1e6


class MemoryHook(Hook):
    """Appends (iteration, MB of this process, MB of its workers) every ``interval`` iterations to ``curve``."""

    def __init__(self, interval: int = 10) -> None:
        self.interval, self.curve = interval, []

    def after_train_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        if self.every_n_train_iters(runner, self.interval):
            workers = getattr(runner.train_loop.dataloader_iterator._iterator, '_workers', [])
            self.curve.append((runner.iter + 1, resident(), sum(resident(worker.pid) for worker in workers)))

    def slopes(self) -> tuple[float, float]:
        """MB per 100 iterations, of this process and of the workers, in the second half."""
        curve = np.array(self.curve[len(self.curve) // 2 :])
        return tuple(100 * np.polyfit(curve[:, 0], curve[:, column], 1)[0] for column in (1, 2))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config file')
    parser.add_argument('--iters', type=int, default=500, help='(default: %(default)s)')
    parser.add_argument('--limit', type=float, default=2, help='MB per 100 iterations that are too much')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, metavar='KEY=VALUE')
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        cfg = load_config(args.config, cfg_options=args.cfg_options, work_dir=folder)
        cfg.train_cfg.max_iters, cfg.val_dataloader, cfg.val_cfg, cfg.val_evaluator = args.iters, None, None, None
        runner, hook = RUNNERS.build(cfg), MemoryHook()
        runner.register_hook(hook)
        runner.train()
    for iteration, own, workers in hook.curve[:: max(len(hook.curve) // 10, 1)]:
        print(f'iteration {iteration:5d}: {own:8.1f} MB, workers {workers:8.1f} MB')
    own, workers = hook.slopes()
    print(f'Slope of the second half: {own:+.2f} MB per 100 iterations, workers {workers:+.2f} MB')
    sys.exit(int(max(own, workers) > args.limit))


if __name__ == '__main__':
    main()
