"""What an iteration costs with stored features, with the encoder, and with nothing but the decoder and its losses.

python benchmarks/cached_features.py configs/comparison/mlore_dinov2-s_nyud-small.py --store work_dirs/features_dinov2-s

The three take turns in one process of one thread, and each gets the processor's time for itself: median, fastest and
slowest of the counted rounds. The last one computes on one batch that is in memory; the other two read a new one each
time.
"""

import argparse
import tempfile
import time
from collections.abc import Callable

import stopwatch
import torch

from mlore_mm.apis.training.config import load_config
from mlore_mm.apis.training.overrides import OverrideAction, apply_overrides
from mlore_mm.registry import RUNNERS

stopwatch.CLOCK = time.process_time


def build(path: str, options: dict, store: str | None, folder: str):
    """A runner whose model, data loader and optimizer are those of a training."""
    cfg = load_config(path)
    apply_overrides(cfg, options)
    cfg.train_dataloader.update(num_workers=0, persistent_workers=False)
    cfg.work_dir = folder
    cfg.val_dataloader = cfg.val_cfg = cfg.val_evaluator = None
    if store:
        cfg.feature_cache = dict(path=store)
    runner = RUNNERS.build(cfg)
    runner._init_model_weights()
    runner.optim_wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
    runner.model.train()
    return runner


def training(runner) -> Callable[[], None]:
    """One iteration with the next batch."""
    batches = iter(runner.train_loop.dataloader)
    return lambda: runner.model.train_step(next(batches), runner.optim_wrapper)


def decoder_alone(runner) -> Callable[[], None]:
    """One iteration from the levels of one batch on, in fp32: neck, head, losses, gradients and the optimizer."""
    model, optim_wrapper = runner.model, runner.optim_wrapper
    data = model.data_preprocessor(next(iter(runner.train_loop.dataloader)), training=True)
    neck, model.neck = model.neck, None
    with torch.no_grad():
        levels = model.extract_feat(data['inputs']).map(lambda maps: tuple(x.float().clone() for x in maps))
    model.neck = neck

    def step() -> None:
        model.extract_feat = lambda *args: levels if neck is None else levels.map(neck)  # beside the method
        try:
            with optim_wrapper.optim_context(model):
                losses, _ = model.parse_losses(model.loss(data['inputs'], data['data_samples']))
            optim_wrapper.update_params(losses)
        finally:
            del model.extract_feat

    return step


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='of a frozen encoder')
    parser.add_argument('--store', required=True, help='folder that tools/misc/cache_features.py filled')
    parser.add_argument('--rounds', type=int, default=10)
    parser.add_argument('--cfg-options', nargs='+', action=OverrideAction, default={}, metavar='KEY=VALUE')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        cached, uncached = (build(args.config, args.cfg_options, store, folder) for store in (args.store, None))
        steps = dict(cached=training(cached), uncached=training(uncached))
        steps['decoder and losses'] = decoder_alone(cached)
        found = stopwatch.interleaved(steps, 'cpu', args.rounds, budget=float('inf'))
    for name, timing in found.items():
        print(f'{name:<20} {timing.median:6.3f} s ({timing.spread})')
    once = found['cached'].median
    print(f'cached over decoder and losses: {once / found["decoder and losses"].median:.3f}')
    print(f'uncached over cached: {found["uncached"].median / once:.2f}')


if __name__ == '__main__':
    main()
