"""Partially dynamic convolutions: ordinary, fully and partially dynamic heads trained alike, one after the other.

Prints a table in Markdown: the metrics, the weights that the dynamic layers keep once compact, the share of dynamic
entries per layer, how long the partition took, and how far the compact model's outputs are from those in training form.

Example:
    python benchmarks/partially_dynamic.py data/synth_rooms/NYUDv2 --iters 150
"""

import argparse
import tempfile
import time

import torch
from mmengine.config import Config

from mlore_mm.models.partially_dynamic import compact_layers, partial_layers
from mlore_mm.registry import RUNNERS
from tests.shared import REPO

CONFIG = REPO / 'configs/pad_dynamic/pad-dynamic_tiny_synthrooms_nyud.py'
METRICS = ['semseg/mIoU', 'depth/RMSE', 'normals/mErr']


def variants() -> dict[str, dict | None]:
    """Name to what differs: None for ordinary convolutions, else density, score and scale."""
    out = {'ordinary': None, 'fully dynamic': dict(density=None)}
    for kappa in (0.1, 0.3, 0.5):
        for score in ('snip', 'random'):
            out[f'kappa {kappa}, {score}'] = dict(density=kappa, score=score)
    out['kappa 0.3, snip, scale none'] = dict(density=0.3, score='snip', scale='none')
    return out


def build(data: str, iters: int, size: list[int], variant: dict | None, folder: str):
    cfg = Config.fromfile(CONFIG)
    cfg.data_root, cfg.crop_size, cfg.max_iters = data, tuple(size), iters
    cfg.task_names = ['semseg', 'depth', 'normals']
    cfg.work_dir, cfg.randomness = folder, dict(seed=0)
    cfg.default_hooks.checkpoint = None
    cfg.default_hooks.logger.interval = iters
    cfg.visualizer = None
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        loader.num_workers = 0
    if variant is None:
        cfg.model.partially_dynamic, cfg.custom_hooks = [], []
    else:
        anneal, partition = cfg.custom_hooks
        anneal.iterations = iters // 2
        cfg.model.partially_dynamic[0].scale = variant.get('scale', 'both')
        cfg.custom_hooks = [anneal]
        if variant['density']:
            partition.update(density=variant['density'], score=variant['score'])
            cfg.custom_hooks.append(partition)
    return RUNNERS.build(cfg)


def measure(data: str, iters: int, size: list[int], variant: dict | None) -> list[str]:
    with tempfile.TemporaryDirectory() as folder:
        runner = build(data, iters, size, variant, folder)
        start = time.process_time()
        model = runner.train().eval()
        seconds = time.process_time() - start
        scores = runner.message_hub
    layers = partial_layers(model)
    stored = sum(layer.stored_numbers()['compact'] for layer in layers.values()) or sum(
        head[0].weight.numel() for head in model.decode_head.heads.values()
    )
    cells = [f'{scores.get_scalar(f"val/{name}").current():.4f}' for name in METRICS]
    kappas = ' '.join(f'{layer.kappa:.2f}' for layer in layers.values()) or '-'
    return [*cells, f'{stored:,}', kappas, f'{_deviation(model, size):.1e}', f'{seconds:.0f}']


@torch.no_grad()
def _deviation(model, size: list[int]) -> float:
    """Makes the model compact; the largest difference of its logits, over the largest logit."""
    x = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0))
    one = model(x)
    compact_layers(model)
    other = model(x)
    return max(float((one[t] - other[t]).abs().max() / one[t].abs().max()) for t in one)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('data', help='SynthRooms in the layout of NYUDv2')
    parser.add_argument('--iters', type=int, default=150)
    parser.add_argument('--size', type=int, nargs=2, default=[96, 128])
    parser.add_argument('--only', nargs='+', default=None, help='names of variants')
    args = parser.parse_args()
    for name, variant in variants().items():
        if args.only is None or name in args.only:
            cells = measure(args.data, args.iters, args.size, variant)
            print('| ' + ' | '.join([name, *cells]) + ' |', flush=True)


if __name__ == '__main__':
    main()
