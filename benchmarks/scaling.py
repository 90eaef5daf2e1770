"""How the decoder's cost grows with tasks, experts, ranks and image size: a table and a plot.

python benchmarks/scaling.py --out work_dirs/scaling

Starts from one configuration and changes one thing at a time. At inference the literal form, that of training (wide)
and the deployed one are timed in turns; in training the literal form and ours; memory, in a process of its own each, is
that of a training step beyond weights and gradients.
"""

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import peak_memory
import stopwatch
import torch
from results import machine_line
from setups import CONFIGS, build_model, decoder_forms, decoder_step, forward_only, make_features, read_config
from stopwatch import interleaved

FORMS = ('literal', 'wide', 'deploy')
STEPS = ('literal', 'ours')
TASKS, EXPERTS, SIZES, RANK_FACTORS = (1, 3, 5, 7), (5, 15, 30, 45), (256, 512, 768, 1024), (0.5, 1.0, 1.5, 2.0)


@dataclass
class Point:
    """One configuration of an axis and what was measured there.

    Attributes:
        axis: What varies.
        x: Its value.
        setup: Options of ``read_config``.
        inference: Milliseconds by form.
        training: Milliseconds by form.
        memory: MiB of a training step by form.
        weights: Millions of numbers in the decoder, by form at inference.
    """

    axis: str
    x: float
    setup: dict
    inference: dict = field(default_factory=dict)
    training: dict = field(default_factory=dict)
    memory: dict = field(default_factory=dict)
    weights: dict = field(default_factory=dict)


def spread_ranks(ranks: list[int], count: int, factor: float = 1.0) -> list[int]:
    """``count`` ranks over the same range, times ``factor``."""
    return [max(1, round(x * factor)) for x in np.linspace(min(ranks), max(ranks), count)]


def points(config: str, axes: list[str]) -> Iterator[Point]:
    head = read_config(config).model.decode_head
    ranks = list(head.ranks)

    def experts(count: int, factor: float = 1.0) -> dict:
        return dict(decoder=dict(ranks=spread_ranks(ranks, count, factor), top_k=min(head.top_k, count)))

    values = dict(
        tasks=[(x, dict(tasks=x)) for x in TASKS],
        experts=[(x, experts(x)) for x in EXPERTS],
        rank=[(round(factor * np.mean(ranks)), experts(len(ranks), factor)) for factor in RANK_FACTORS],
        size=[(x, dict(size=[x, x])) for x in SIZES],
    )
    for axis in axes:
        for x, setup in values[axis]:
            yield Point(axis, x, setup)


def measure(point: Point, args: argparse.Namespace) -> None:
    """Fill the point in."""
    model = build_model(read_config(args.config, **point.setup), args.device)
    feats, how = make_features(model, 1), (args.device, 'fp32')
    heads = decoder_forms(model.decode_head, FORMS)
    runs = {name: forward_only(head, feats, *how) for name, head in heads.items()}
    timings = interleaved(runs, args.device, args.rounds, budget=60)
    point.inference = {name: 1000 * timing.median for name, timing in timings.items()}
    point.weights = {
        name: sum(x.numel() for x in (*head.parameters(), *head.buffers())) / 1e6 for name, head in heads.items()
    }
    if args.inference_only:
        return
    steps = dict(zip(STEPS, (heads['literal'], model.decode_head), strict=True))
    timings = interleaved(
        {k: decoder_step(head, feats, *how) for k, head in steps.items()}, args.device, args.rounds, budget=60
    )
    point.training = {name: 1000 * timing.median for name, timing in timings.items()}
    del model, heads, runs, steps, timings
    options = dict(config=args.config, device=args.device, setup=json.dumps(point.setup))
    point.memory = {form: peak_memory.measure(dict(options, form=form)) / 2**20 for form in STEPS}


def table(measured: list[Point]) -> str:
    header = ['axis', 'value', *(f'{f}, ms' for f in FORMS), *(f'step {f}, ms' for f in STEPS)]
    header += [*(f'memory {f}, MiB' for f in STEPS), 'deployed weights, M']
    lines = [f'| {" | ".join(header)} |', f'|{"---|" * len(header)}']
    for p in measured:
        numbers = [p.inference.get(f) for f in FORMS] + [p.training.get(f) for f in STEPS]
        numbers += [p.memory.get(f) for f in STEPS] + [p.weights['deploy']]
        cells = [p.axis, f'{p.x:g}', *('' if n is None else f'{n:.0f}' for n in numbers)]
        lines.append(f'| {" | ".join(cells)} |')
    return '\n'.join(lines) + '\n'


def plot(measured: list[Point], path: Path, title: str) -> None:
    """A column per axis; inference, training step and memory below one another."""
    import matplotlib

    matplotlib.use('Agg')
    import matplotlib.pyplot as plt

    axes = list(dict.fromkeys(p.axis for p in measured))
    kinds = [k for k in ('inference', 'training', 'memory') if any(getattr(p, k) for p in measured)]
    labels = dict(inference='inference, ms', training='training step, ms', memory='memory of a step, MiB')
    xlabels = dict(tasks='tasks', experts='experts', rank='mean rank', size='image side, pixels')
    colours = dict(literal='tab:red', wide='tab:orange', ours='tab:blue', deploy='tab:green')
    figure, grid = plt.subplots(
        len(kinds), len(axes), figsize=(3 * len(axes), 2.4 * len(kinds)), squeeze=False, layout='constrained'
    )
    for row, kind in zip(grid, kinds, strict=True):
        for ax, axis in zip(row, axes, strict=True):
            members = [p for p in measured if p.axis == axis and getattr(p, kind)]
            for form in getattr(members[0], kind):
                y = [getattr(p, kind)[form] for p in members]
                ax.plot([p.x for p in members], y, 'o-', label=form, color=colours[form], markersize=3)
            ax.set_ylim(bottom=0)
            ax.set_xlabel(xlabels[axis])
            ax.grid(alpha=0.3)
        row[0].set_ylabel(labels[kind])
        row[0].legend(fontsize=7)
    figure.suptitle(title, fontsize=9)
    figure.savefig(path, dpi=110)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--config', choices=CONFIGS, default='PASCAL ViT-S')
    parser.add_argument('--axes', nargs='+', choices=('tasks', 'experts', 'rank', 'size'), default=None)
    parser.add_argument('--device', default='cpu')
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument('--inference-only', action='store_true')
    parser.add_argument('--cpu-seconds', action='store_true', help='one thread, its own time: for a busy machine')
    parser.add_argument('--out', metavar='DIR', default='work_dirs/scaling', help='default: %(default)s')
    args = parser.parse_args()
    args.axes = args.axes or ['tasks', 'experts', 'rank', 'size']
    return args


def main() -> None:
    args = parse_args()
    if args.cpu_seconds:
        torch.set_num_threads(1)
        stopwatch.CLOCK = time.process_time
    measured, out = [], Path(args.out)
    for point in points(args.config, args.axes):
        measure(point, args)
        measured.append(point)
        print(point, flush=True)
    out.mkdir(parents=True, exist_ok=True)
    machine = machine_line(args.device) + ('; CPU time of one thread' if args.cpu_seconds else '')
    (out / 'scaling.md').write_text(f'Decoder of {args.config}, batch 1, fp32. {machine}\n\n{table(measured)}')
    (out / 'scaling.json').write_text(json.dumps(dict(machine=machine, points=[vars(p) for p in measured]), indent=1))
    plot(measured, out / 'scaling.png', f'Decoder of {args.config}, batch 1, fp32')
    print(f'\n{table(measured)}\nTable, numbers and plot are in {out}')


if __name__ == '__main__':
    main()
