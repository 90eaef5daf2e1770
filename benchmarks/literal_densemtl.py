"""DenseMTL's decoder computed the published way, and its speed and memory beside ours.

python benchmarks/literal_densemtl.py --size 448 576
python benchmarks/literal_densemtl.py --size 448 576 --what memory

Both forms have the same weights, take turns, and the largest deviation is printed first. Memory is the peak of a
training step of the exchange alone, of which the published form keeps most, in a process of its own.
"""

import argparse
import json
import subprocess
import sys
import time

import stopwatch
import torch
import torch.nn.functional as F
from mmengine.config import Config
from peak_memory import peak_bytes
from stopwatch import interleaved
from torch import Tensor

from mlore_mm.models.decode_heads import DenseMTLHead
from mlore_mm.models.layers import CrossTaskExchange
from mlore_mm.models.layers.cross_task_exchange import PairExchange
from mlore_mm.models.layers.section_decoder import SectionDecoder, reflection_pad
from mlore_mm.models.output import MultiTaskOutput
from mlore_mm.registry import MODELS
from mlore_mm.tasks import bind_tasks

CONFIG = 'configs/densemtl/densemtl_r101_nyud_sdne.py'
STRIDES = (2, 4, 8, 16, 16)


def literal_pair(pair: PairExchange, target: Tensor, source: Tensor) -> Tensor:
    """One direction: the matrix of attention whole, its result spread, scaled and concatenated at full size."""
    y, attention = F.relu(pair.extract(source)), pair.self_attention
    near = attention.gate(y).sigmoid() * attention.value(y)
    correlation, r = pair.correlation, pair.stride
    sampled = F.interpolate(target, scale_factor=1 / r, mode='nearest')
    pooled = F.max_pool2d(y, r)
    query, key, value = correlation.query(sampled), correlation.key(pooled), correlation.value(pooled)
    weights = (query.flatten(2).transpose(1, 2) @ key.flatten(2) / query.shape[1] ** 0.5).softmax(dim=-1)
    found = (weights @ value.flatten(2).transpose(1, 2)).transpose(1, 2).reshape(query.shape)
    far = correlation.alpha * F.interpolate(found, scale_factor=r, mode='nearest')
    return F.relu(pair.norm(pair.project(torch.cat([near, far], dim=1))))


def literal_exchange(exchange: CrossTaskExchange, features: dict[str, Tensor]) -> dict[str, Tensor]:
    """All pairs one after the other."""
    out = {}
    for target in exchange.tasks:
        sources = exchange.sources(target)
        taken = [literal_pair(exchange.pairs[target][s], features[target], features[s]) for s in sources]
        out[target] = features[target] + exchange.join[target](torch.cat(taken, dim=1))
    return out


def literal_scale(decoder: SectionDecoder, scale: int, x: Tensor | None, levels: list[Tensor]) -> Tensor:
    """One scale: upsampled, concatenated, padded and convolved as a whole."""
    x = decoder.aspp(levels[-1]) if x is None else F.elu(decoder.enter[scale].conv(reflection_pad(x)))
    if scale == 0 or x.shape[-1] < levels[scale - 1].shape[-1]:
        x = F.interpolate(x, scale_factor=2, mode='nearest')
    x = x if scale == 0 else torch.cat([x, levels[scale - 1]], dim=1)
    return F.elu(decoder.leave[scale].conv(reflection_pad(x)))


def literal(head: DenseMTLHead, levels: list[Tensor]) -> MultiTaskOutput:
    """The published configuration: one exchange, at scale 1, and that scale supervised."""
    maps: dict = dict.fromkeys(head.tasks.names)
    side = {}
    for scale in (4, 3, 2, 1, 0):
        maps = {task: literal_scale(head.decoders[task], scale, x, levels) for task, x in maps.items()}
        if scale == 1:
            side = {task: head.predict[task]['1'](x) for task, x in maps.items()}
            maps = literal_exchange(head.exchanges['1'], maps)
    return MultiTaskOutput({task: head.predict[task]['0'](x) for task, x in maps.items()}, {'scale_1': side})


def build(size: tuple[int, int]) -> tuple[DenseMTLHead, list[Tensor]]:
    """The decoder of the config, randomised where it starts as 0, and features of one image."""
    cfg = bind_tasks(Config.fromfile(CONFIG))
    torch.manual_seed(0)
    head = MODELS.build(dict(cfg.model.decode_head, tasks=cfg.model.tasks, dropout=0.0))
    for name, parameter in head.named_parameters():
        if name.endswith('alpha'):
            parameter.data.uniform_(0.5, 1)
    levels = [
        torch.randn(1, c, size[0] // s, size[1] // s).relu() for c, s in zip(head.in_channels, STRIDES, strict=True)
    ]
    return head, levels


def step(forward, parameters):
    """A function that takes a forward and a backward pass."""

    def run():
        output = forward()
        maps = [*output.logits.values(), *(x for group in output.auxiliary.values() for x in group.values())]
        torch.autograd.grad(sum(x.square().mean() for x in maps), parameters, allow_unused=True)

    return run


def compare_speed(size: tuple[int, int], rounds: int) -> None:
    head, levels = build(size)
    forms = dict(literal=lambda: literal(head, levels), ours=lambda: head(levels))
    exchange = head.exchanges['1']
    maps = {t: torch.randn(1, head.channels[1], size[0] // 2, size[1] // 2) for t in head.tasks}
    with torch.no_grad():
        head.eval()
        outputs = [form().logits for form in forms.values()]
        worst = max((outputs[0][t] - outputs[1][t]).abs().max().item() for t in head.tasks)
        largest = max(x.abs().max().item() for x in outputs[0].values())
        print(f'largest deviation of logits {worst:.2e}, of {largest:.3g}')
        parts = dict(literal=lambda: literal_exchange(exchange, maps), ours=lambda: exchange(maps, list(maps)))
        report('exchange, inference', interleaved(parts, 'cpu', rounds))
        report('decoder, inference', interleaved(forms, 'cpu', rounds))
    head.train()
    parameters = list(head.parameters())
    steps = {name: step(form, parameters) for name, form in forms.items()}
    report('decoder, training step', interleaved(steps, 'cpu', rounds))


def report(what: str, timings: dict) -> None:
    base = timings['literal'].median
    for name, timing in timings.items():
        print(f'{what}, {name}: {timing.median:.2f} s, {base / timing.median:.2f} x ({timing.spread})', flush=True)


def exchange_step(form: str, size: tuple[int, int]):
    head, _ = build(size)
    exchange = head.exchanges['1'].train()
    maps = {t: torch.randn(1, head.channels[1], size[0] // 2, size[1] // 2, requires_grad=True) for t in head.tasks}
    forward = (lambda: literal_exchange(exchange, maps)) if form == 'literal' else (lambda: exchange(maps, list(maps)))
    return step(lambda: MultiTaskOutput(forward()), [*exchange.parameters(), *maps.values()])


def compare_memory(size: tuple[int, int]) -> None:
    peaks = {}
    for form in ('literal', 'ours'):
        command = [sys.executable, __file__, '--what', f'peak-{form}', '--size', *map(str, size)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        peaks[form] = json.loads(done.stdout.splitlines()[-1])
        print(f'exchange, training step, {form}: {peaks[form] / 2**20:.0f} MiB, {peaks["literal"] / peaks[form]:.2f} x')


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--size', type=int, nargs=2, default=(448, 576), help='(H, W), multiples of 16')
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument('--what', default='speed', choices=('speed', 'memory', 'peak-literal', 'peak-ours'))
    args = parser.parse_args()
    torch.set_num_threads(1)
    stopwatch.CLOCK = time.process_time  # steady on a busy machine
    if args.what == 'speed':
        compare_speed(tuple(args.size), args.rounds)
    elif args.what == 'memory':
        compare_memory(tuple(args.size))
    else:
        print(peak_bytes(exchange_step(args.what.removeprefix('peak-'), tuple(args.size)), 'cpu'))


if __name__ == '__main__':
    main()
