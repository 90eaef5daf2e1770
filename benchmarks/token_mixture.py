"""Measure a mixture of experts for tokens against the dense MLP of as many multiplications, and the naive loop.

python benchmarks/token_mixture.py
python benchmarks/token_mixture.py --folded m3vit/m3vit_vits_pascal

16 experts of the encoder's width, 4 per token, 5 tasks of 1,025 tokens. Forms take turns, medians are given, and a
ratio is the mixture's value over the dense MLP's: less is better. Memory is the peak of forward and backward, in a
process of its own each. ``--folded`` measures an encoder instead: all tasks in one call, which computes what lies
before the first router once, against a pass per task.
"""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

import stopwatch
import torch
from mmengine.logging import MMLogger
from peak_memory import peak_bytes
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from mlore_mm.apis import load_config
from mlore_mm.apis.analysis.flops import build_for_counting
from mlore_mm.apis.inference.photo_pipeline import image_size
from mlore_mm.models.layers import TokenMixture
from mlore_mm.registry import MODELS
from mlore_mm.routing import TopKGate
from mlore_mm.tasks import bind_tasks

CONFIGS = Path(__file__).resolve().parents[1] / 'configs'


class Mixture(nn.Module):
    """Router, gate and experts."""

    def __init__(self, dims: int, naive: bool = False) -> None:
        super().__init__()
        self.router, self.gate = nn.Linear(dims, 16, bias=False), TopKGate(4, noise='none')
        self.mixture, self.naive = TokenMixture(dims, dims, 16, 4), naive

    def forward(self, x: Tensor) -> Tensor:
        routing = self.gate(self.router(x.to(self.router.weight.dtype)))
        return (self.mixture.plain if self.naive else self.mixture)(x, routing)


def build(form: str, dims: int) -> nn.Module:
    torch.manual_seed(0)
    if form == 'dense':
        return nn.Sequential(nn.Linear(dims, 4 * dims), nn.GELU(), nn.Linear(4 * dims, dims))
    return Mixture(dims, naive=form == 'naive')


def step(module: nn.Module, x: Tensor, backward: bool):
    """One call of the module, with or without its backward pass."""
    x = x.clone().requires_grad_(backward)

    def run() -> None:
        if not backward:
            with torch.no_grad():
                module(x)
            return
        module.zero_grad(set_to_none=True)
        x.grad = None
        module(x).square().sum().backward()

    return run


def memory(form: str, args: argparse.Namespace) -> int:
    environment = dict(os.environ, MALLOC_MMAP_THRESHOLD_='65536', MALLOC_ARENA_MAX='1')
    command = [sys.executable, __file__, '--memory-of', form, '--device', args.device, '--dims', str(args.dims)]
    return int(subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout)


@torch.no_grad()
def folded(config: str, rounds: int) -> None:
    """The encoder of a config, of one image and all its tasks: their passes against the folded call."""
    MMLogger.get_current_instance().setLevel('ERROR')  # mmengine lists every initialised parameter
    cfg = bind_tasks(load_config(str(CONFIGS / f'{config}.py')))
    counted = build_for_counting(cfg)
    tasks, size = list(counted.tasks), image_size(counted.cfg)
    torch.manual_seed(0)
    encoder = MODELS.build(dict(cfg.model.backbone, init_cfg=None, tasks=counted.tasks)).eval()
    encoder.init_weights()

    def forms(encoder: nn.Module, x: Tensor) -> dict:
        ids = range(len(tasks))
        return dict(
            passes=lambda: torch.stack([encoder(x, i)[0] for i in ids]),
            folded=lambda: encoder.forward_folded(x, ids)[0],
        )

    images = torch.randn(1, 3, *size)
    functions = forms(encoder, images)
    deviation = float((functions['passes']() - functions['folded']()).abs().max())
    times = {k: v.median for k, v in stopwatch.interleaved(functions, 'cpu', rounds).items()}
    macs = {}
    for name, function in forms(counted.backbone.eval(), images.to('meta')).items():
        with FlopCounterMode(display=False) as counter:
            function()
        macs[name] = counter.get_total_flops() / 2e9
    print(f'{config}, {len(tasks)} tasks, {size[0]}x{size[1]}: ', end='')
    for name in times:
        print(f'{name} {times[name]:.2f} s and {macs[name]:.1f} GMAC, ', end='')
    print(f'folded {times["passes"] / times["folded"]:.2f} x as fast, largest deviation {deviation:.1e}')


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--device', default='cpu')
    parser.add_argument('--dims', type=int, default=384, help='width of the encoder')
    parser.add_argument('--rounds', type=int, default=7)
    parser.add_argument('--folded', metavar='CONFIG', help='below configs/; on the CPU')
    parser.add_argument('--memory-of', help='print the peak of one form in bytes; used by the benchmark itself')
    args = parser.parse_args()
    x = torch.randn(5, 1025, args.dims, device=args.device)
    if args.memory_of:
        print(peak_bytes(step(build(args.memory_of, args.dims).to(args.device), x, True), args.device))
        return
    if args.device == 'cpu':
        torch.set_num_threads(1)
        stopwatch.CLOCK = time.process_time  # steady on a busy machine
    if args.folded:
        folded(args.folded, args.rounds)
        return
    modules = {form: build(form, args.dims).to(args.device) for form in ('dense', 'mixture', 'naive')}
    for name, backward in (('forward', False), ('forward and backward', True)):
        functions = {form: step(module, x, backward) for form, module in modules.items()}
        times = {k: v.median for k, v in stopwatch.interleaved(functions, args.device, args.rounds).items()}
        against_dense, against_naive = times['mixture'] / times['dense'], times['naive'] / times['mixture']
        print(f'{name}: dense {1e3 * times["dense"]:.0f} ms, mixture {1e3 * times["mixture"]:.0f} ms', end=' = ')
        print(f'{against_dense:.2f} x dense; the naive loop takes {against_naive:.2f} x as long')
    peaks = {form: memory(form, args) / 2**20 for form in ('dense', 'mixture')}
    ratio = peaks['mixture'] / peaks['dense']
    print(f'memory: dense {peaks["dense"]:.0f} MiB, mixture {peaks["mixture"]:.0f} MiB = {ratio:.2f} x dense')


if __name__ == '__main__':
    main()
