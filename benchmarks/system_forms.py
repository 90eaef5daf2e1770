"""A system's decoder, or all of it, as its equations read and as we compute it; and where the time of both goes.

    python benchmarks/system_forms.py invpt --size 256 320
    python benchmarks/system_forms.py densemtl --size 224 288 --what decoder-training --profile

Both forms have the same weights and take turns; times are of the processor, one thread, medians. The profile gives the
share of every kind of operation in each form, and the bound: how much faster ours could at most be if all that is no
convolution of 3x3 or larger (and no matrix product) cost nothing, with the literal form as it is.
"""

import argparse
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import stopwatch
import torch
from distilling_decoders import PairByPair
from literal_densemtl import literal as literal_densemtl
from mmengine.config import Config
from mmengine.logging import MMLogger
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # for the package `benchmarks`

from benchmarks.literal_invpt import LiteralInvPTHead, LiteralViT
from benchmarks.literal_task_prompter import LiteralTaskPrompterHead, LiteralTaskPrompterViT
from mlore_mm.apis import init_model
from mlore_mm.models.features import Features
from mlore_mm.models.output import MultiTaskOutput

FOLDER = Path(__file__).resolve().parents[1] / 'configs'
CONFIGS = dict(
    pad_net='pad_net/pad-net_hrnet18s_nyud',
    mti_net='mti_net/mti-net_hrnet18s_nyud',
    densemtl='densemtl/densemtl_r101_nyud_sdne',
    invpt='invpt/invpt_vitl_nyud',
    task_prompter='task_prompter/task-prompter_vitl_nyud',
)
WHAT = ('decoder-inference', 'decoder-training', 'model-inference', 'model-training')
KINDS = (  # the first that is part of an operation's name
    ('convolution', ('conv',)),
    ('matrix product', ('addmm', 'aten::mm', 'bmm', 'scaled_dot', 'flash', 'attention')),
    ('norm', ('norm',)),
    ('resampling, pooling', ('upsample', 'pool', 'interpolate')),
    ('copy, padding', ('copy', 'cat', 'pad', 'stack', 'fill', 'zero', 'index', 'contiguous')),
)
LARGE = ('convolution', 'matrix product')


class LiteralDenseMTLHead(nn.Module):
    """A DenseMTLHead computed as published."""

    def __init__(self, head: nn.Module) -> None:
        super().__init__()
        self.head = head

    def forward(self, feats, tasks=None) -> MultiTaskOutput:
        return literal_densemtl(self.head, self.head.select(Features.wrap(feats)))


class LiteralDistillingHead(nn.Module):
    """PAD-Net or MTI-Net: messages pair by pair, the first predictions computed in evaluation too."""

    def __init__(self, head: nn.Module) -> None:
        super().__init__()
        self.head = head

    def forward(self, feats, tasks=None) -> MultiTaskOutput:
        self.head.evaluated_groups = frozenset(self.head.auxiliary_groups)
        try:
            with PairByPair():
                return self.head(feats)
        finally:
            self.head.evaluated_groups = frozenset()


def literal_parts(system: str, model: nn.Module) -> tuple[nn.Module, nn.Module]:
    """Encoder and head of the literal form; those of the others have the published encoder in both forms."""
    if system == 'invpt':
        return LiteralViT(model.backbone), LiteralInvPTHead(model.decode_head)
    if system == 'task_prompter':
        return LiteralTaskPrompterViT(model.backbone), LiteralTaskPrompterHead(model.decode_head)
    head = LiteralDenseMTLHead if system == 'densemtl' else LiteralDistillingHead
    return model.backbone, head(model.decode_head)


def build(config: str, size: tuple[int, int]) -> nn.Module:
    """A seeded model; scales that start as 0 are drawn, so that both forms have something to compute with."""
    MMLogger.get_current_instance().setLevel('ERROR')  # mmengine lists every initialised parameter
    cfg = Config.fromfile(FOLDER / f'{config}.py')
    cfg.model.backbone.pop('init_cfg', None)
    cfg.crop_size = tuple(size)
    torch.manual_seed(0)
    model = init_model(cfg)
    model.init_weights()
    for name, parameter in model.named_parameters():
        if name.endswith('alpha'):
            parameter.data.uniform_(0.5, 1)
    for module in model.modules():
        if isinstance(module, nn.Dropout | nn.Dropout2d) or hasattr(module, 'drop_prob'):
            module.p = module.drop_prob = 0.0  # both forms compute the same
    return model


def calls(system: str, what: str, size: tuple[int, int], batch: int) -> dict[str, Callable[[], MultiTaskOutput]]:
    """What is timed, by form."""
    model = build(CONFIGS[system], size)
    encoder, head = literal_parts(system, model)
    images, names = torch.randn(batch, 3, *size), list(model.tasks)
    part, mode = what.split('-')
    model.train(mode == 'training'), head.train(mode == 'training')
    encode = lambda backbone: backbone(images, names) if system == 'task_prompter' else backbone(images)  # noqa: E731
    with torch.no_grad():
        feats = Features.wrap(encode(model.backbone))

    def form(backbone: nn.Module, decoder: nn.Module) -> Callable[[], MultiTaskOutput]:
        def run() -> MultiTaskOutput:
            with nullcontext() if mode == 'training' else torch.no_grad():
                output = decoder(feats if part == 'decoder' else Features.wrap(encode(backbone)))
                if mode == 'training':
                    maps = [*output.logits.values(), *(x for g in output.auxiliary.values() for x in g.values())]
                    model.zero_grad(set_to_none=True)
                    sum(x.square().mean() for x in maps).backward()
                return output

        return run

    return dict(literal=form(encoder, head), ours=form(model.backbone, model.decode_head))


def profile(run: Callable[[], object]) -> dict[str, float]:
    """Seconds of one call by kind of operation."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as recorded:
        run()
    seconds: Counter = Counter()
    for event in recorded.key_averages():
        key = event.key.lower()
        kind = next((kind for kind, parts in KINDS if any(part in key for part in parts)), 'elementwise, all else')
        seconds[kind] += event.self_cpu_time_total / 1e6
    return dict(seconds)


def print_profile(functions: dict[str, Callable]) -> None:
    shares = {name: profile(run) for name, run in functions.items()}
    totals = {name: sum(x.values()) for name, x in shares.items()}
    for kind in sorted(shares['ours'], key=shares['ours'].get, reverse=True):
        cells = [
            f'{name} {x.get(kind, 0):6.2f} s {100 * x.get(kind, 0) / totals[name]:4.1f} %' for name, x in shares.items()
        ]
        print(f'  {kind:<22}', '   '.join(cells))
    large = sum(shares['ours'].get(kind, 0) for kind in LARGE)
    print(f'  were all else free, ours would be {totals["literal"] / large:.2f} x as fast as the literal form')


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('system', choices=CONFIGS)
    parser.add_argument('--size', type=int, nargs=2, default=(448, 576), metavar=('H', 'W'), help='of the image')
    parser.add_argument('--what', nargs='+', default=WHAT[:2], choices=WHAT)
    parser.add_argument('--batch', type=int, default=1, help='images; DenseMTL trains on 2 or more')
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument('--profile', action='store_true')
    args = parser.parse_args()
    torch.set_num_threads(1)
    stopwatch.CLOCK = time.process_time  # steady on a busy machine
    for what in args.what:
        functions = calls(args.system, what, tuple(args.size), args.batch)
        logits = [run().logits for run in functions.values()]
        worst = max((a - logits[1][task]).abs().max() / a.abs().max() for task, a in logits[0].items())
        times = {k: v.median for k, v in stopwatch.interleaved(functions, 'cpu', args.rounds).items()}
        shape = 'x'.join(map(str, (args.batch, *args.size)))
        print(f'{args.system}, {what}, {shape}: literal {times["literal"]:.2f} s, ours ', end='')
        print(f'{times["ours"]:.2f} s, {times["literal"] / times["ours"]:.2f} x; deviation {worst:.0e}', flush=True)
        if args.profile:
            print_profile(functions)


if __name__ == '__main__':
    main()
