"""Watch the memory of a long training and of many inferences, and say how fast it grows.

Example, on SynthRooms (see tools/quickstart.sh):
    python .dev_scripts/memory_curve.py configs/mlore/mlore_tiny_synthrooms_nyud.py --out work_dirs/memory

The training validates five times and saves ten checkpoints on its way. Its last checkpoint is then run on photos of
changing sizes, one by one by MultiTaskInferencer and inference_model. The slope is that of a straight line through the
second half of a curve, in KiB per iteration or photo: of this process, and of the loader's workers. It ends with 1
where one is above the limit. Only memory that is a process's own is counted, which Linux tells.

On CPUs PyTorch's convolutions (oneDNN) keep what they compiled for up to 1024 shapes, and photos of changing sizes have
new shapes every time, so memory grows until then. Here, as for a server, a few are enough.
"""

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

os.environ.setdefault('ONEDNN_PRIMITIVE_CACHE_CAPACITY', '8')  # read once, so before PyTorch

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from mmengine.config import Config, DictAction
from mmengine.hooks import Hook

from mlore_mm.apis import MultiTaskInferencer, inference_model, load_config
from mlore_mm.registry import RUNNERS

PAGE = os.sysconf('SC_PAGE_SIZE')
SIZES = (48, 320)  # smallest and largest side of the photos


def resident(pid: int | str = 'self') -> float:
    """Memory of a process that is its own (not shared with others), in KiB."""
    size, shared = map(int, Path(f'/proc/{pid}/statm').read_text().split()[1:3])
    return (size - shared) * PAGE / 1024


def slope(curve: list[tuple[int, float]]) -> float:
    """KiB per step in the second half of (step, KiB)."""
    steps, values = np.array(curve[len(curve) // 2 :]).T
    return float(np.polyfit(steps, values, 1)[0])


class MemoryHook(Hook):
    """Appends (iteration, KiB) to the curves of this process and of its workers every ``interval`` iterations."""

    def __init__(self, interval: int = 10) -> None:
        self.interval, self.own, self.workers = interval, [], []

    def after_train_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        if self.every_n_train_iters(runner, self.interval):
            workers = getattr(runner.train_loop.dataloader_iterator._iterator, '_workers', [])
            self.own.append((runner.iter + 1, resident()))
            self.workers.append((runner.iter + 1, sum(resident(worker.pid) for worker in workers)))


def watch_training(cfg: Config, iters: int) -> tuple[dict[str, list], str]:
    """Curves of a training with validations and checkpoints, and the path of the last one."""
    cfg.train_cfg.update(max_iters=iters, val_interval=max(iters // 5, 1))
    cfg.default_hooks.checkpoint.update(interval=max(iters // 10, 1))
    runner, hook = RUNNERS.build(cfg), MemoryHook(max(iters // 100, 1))
    runner.register_hook(hook)
    runner.train()
    curves = {'training': hook.own, "training, loader's workers": hook.workers}
    return curves, str(Path(cfg.work_dir) / f'iter_{iters}.pth')


def watch_inference(cfg: Config, checkpoint: str, count: int, seed: int = 0) -> dict[str, list]:
    """Curve of inferences on noise of sizes that change every time, two in one call now and then."""
    infer = MultiTaskInferencer(cfg, checkpoint, device='cpu', max_size=None, show_progress=False)
    generator = np.random.default_rng(seed)
    curve = []
    for number in range(1, count + 1):
        photo = generator.integers(0, 256, (*generator.integers(*SIZES, 2), 3), dtype=np.uint8)
        if number % 2:
            infer([photo, photo[: SIZES[0]]])
        else:
            inference_model(infer.model, photo)
        curve.append((number, resident()))
    return {'inference': curve}


def draw(curves: dict[str, list], path: Path) -> None:
    figure = Figure(figsize=(4 * len(curves), 3), layout='constrained')
    FigureCanvasAgg(figure)
    for axes, (name, curve) in zip(figure.subplots(1, len(curves), squeeze=False)[0], curves.items(), strict=True):
        steps, values = np.array(curve).T
        axes.plot(steps, values / 1024)
        axes.set(title=f'{name}: {slope(curve):+.1f} KiB each', xlabel='step', ylabel='own memory (MiB)')
        axes.set_ylim(0, 1.15 * values.max() / 1024 + 1)
        axes.grid(alpha=0.3)
    figure.savefig(path, dpi=120)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', nargs='?', help='for the inferences; that of the training by default')
    parser.add_argument('--iters', type=int, default=500, help='of training (default: %(default)s)')
    parser.add_argument('--inferences', type=int, default=300, help='(default: %(default)s)')
    parser.add_argument('--limit', type=float, default=20, help='KiB per step that are too much (default: %(default)s)')
    parser.add_argument('--out', help='folder for memory.png and memory.json')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, metavar='KEY=VALUE')
    args = parser.parse_args()
    if not (args.iters or args.checkpoint):
        parser.error('without a training (--iters 0) the inferences need a checkpoint')
    return args


def main() -> None:
    args = parse_args()
    curves = {}
    with tempfile.TemporaryDirectory() as folder:
        cfg = load_config(args.config, cfg_options=args.cfg_options, work_dir=folder)
        checkpoint = args.checkpoint
        if args.iters:
            curves, trained = watch_training(cfg, args.iters)
            checkpoint = checkpoint or trained
        if args.inferences:
            cfg = load_config(args.config, cfg_options=args.cfg_options, work_dir=folder)
            curves.update(watch_inference(cfg, checkpoint, args.inferences))
    slopes = {name: slope(curve) for name, curve in curves.items()}
    for name, curve in curves.items():
        some = ', '.join(f'{value / 1024:.1f}' for _, value in curve[:: max(len(curve) // 10, 1)])
        print(f'{name}: {some} MiB; slope of the second half {slopes[name]:+.2f} KiB per step')
    if args.out:
        out = Path(args.out)
        out.mkdir(parents=True, exist_ok=True)
        (out / 'memory.json').write_text(json.dumps(dict(slopes=slopes, curves=curves)))
        draw(curves, out / 'memory.png')
    sys.exit(int(max(slopes.values()) > args.limit))


if __name__ == '__main__':
    main()
