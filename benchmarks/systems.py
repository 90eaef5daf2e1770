"""Whole models of every system: training step and inference, fp32 and bf16, eager and compiled, at several batches.

    python benchmarks/systems.py --device cuda --out work_dirs/gpu/systems.md
    python benchmarks/systems.py --configs mlore/mlore_tiny_synthrooms_nyud --batch 1 --rounds 1 --modes eager

Images are noise of the training size. A step is forward and backward of the network, with the mean square of all
logits, auxiliary ones too, as its loss; losses, data and optimizer are left out. Inference ends with the logits; MLoRE
is deployed. The forms of one row take turns. A row is written as soon as it is measured, so that what is done is kept
when the time ends, and what a system cannot do stands in its place.
"""

import argparse
import time
from collections.abc import Callable
from copy import deepcopy
from itertools import product
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from stopwatch import interleaved
from torch import Tensor, nn

from mlore_mm.apis import init_model
from mlore_mm.apis.inference.photo_pipeline import image_size
from mlore_mm.models import compile_network
from mlore_mm.utils.half_precision import autocast_to

FOLDER = Path(__file__).resolve().parents[1] / 'configs'
CONFIGS = (
    'mlore/mlore_vitl_pascal',
    'mlore/mlore_vitb_pascal',
    'mlore/mlore_vits_pascal',
    'm3vit/m3vit_vits_pascal',
    'mod_squad/mod-squad_vits_pascal',
    'pad_net/pad-net_hrnet18s_pascal',
    'mti_net/mti-net_hrnet18s_pascal',
    'densemtl/densemtl_r101_nyud_sdne',
    'invpt/invpt_vitl_pascal',
    'task_prompter/task-prompter_vitb_pascal',
    'fgmoe_style/fgmoe-style_vitb_pascal',
)
HEADER = (
    '| model | batch | what | fp32 | bf16 | fp32, compiled | bf16, compiled |\n|---|---:|---|---:|---:|---:|---:|\n'
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--configs', default=','.join(CONFIGS), help='below configs/, with commas between')
    parser.add_argument('--device', default='cuda' if torch.cuda.is_available() else 'cpu')
    parser.add_argument('--batch', default='1,2,4')
    parser.add_argument('--modes', default='eager,compiled')
    parser.add_argument('--rounds', type=int, default=10)
    parser.add_argument('--seconds', type=float, default=400, help='after which no further row is begun')
    parser.add_argument('--out', metavar='FILE', help='Markdown')
    args = parser.parse_args()
    start, lines = time.monotonic(), [_title(args.device), HEADER]
    for config, batch in product(args.configs.split(','), map(int, args.batch.split(','))):
        for what in ('inference', 'training step'):
            if time.monotonic() - start > args.seconds:
                lines.append(f'| {Path(config).name} | {batch} | {what} | not reached in {args.seconds:.0f} s | | | |')
            else:
                lines.append(row(config, batch, what, args))
            print(lines[-1], flush=True)
            if args.out:
                Path(args.out).parent.mkdir(parents=True, exist_ok=True)
                Path(args.out).write_text('\n'.join(lines) + '\n')


def row(config: str, batch: int, what: str, args: argparse.Namespace) -> str:
    """One line of the table, in milliseconds: the median of each form."""
    forms = [(mode, dtype) for mode in ('eager', 'compiled') for dtype in ('fp32', 'bf16')]
    found: dict[tuple[str, str], str] = {}
    for mode in ('eager', 'compiled'):
        if mode not in args.modes.split(','):
            continue
        try:
            functions = calls(config, batch, what, mode, args.device)
            times = interleaved(functions, args.device, args.rounds)
            found.update({(mode, dtype): f'{1000 * t.median:.1f} ms' for dtype, t in times.items()})
        except Exception as error:  # memory, or a form that a system has not; the other rows are wanted all the same
            found[mode, 'fp32'] = (str(error).strip() or type(error).__name__).splitlines()[0][:60]
        if args.device.startswith('cuda'):
            torch.cuda.empty_cache()
    cells = ' | '.join(found.get(form, '-') for form in forms)
    return f'| {Path(config).name} | {batch} | {what} | {cells} |'


def calls(config: str, batch: int, what: str, mode: str, device: str) -> dict[str, Callable[[], object]]:
    """By precision, what is timed."""
    model = build(config, device)
    size = image_size(model.cfg)
    images = torch.randn(batch, 3, *size, device=device)
    names = list(model.tasks.main)
    if what == 'inference' and hasattr(model.decode_head, 'switch_to_deploy'):
        model.switch_to_deploy()
    model.train(what != 'inference')
    if mode == 'compiled' and not compile_network(model):
        raise ValueError('no compiler')
    function = infer if what == 'inference' else step
    return {dtype: lambda dtype=dtype: function(model, images, names, dtype) for dtype in ('fp32', 'bf16')}


def build(config: str, device: str) -> nn.Module:
    """A seeded model without weights to load."""
    torch.manual_seed(0)
    MMLogger.get_current_instance().setLevel('ERROR')
    cfg = deepcopy(Config.fromfile(FOLDER / f'{config}.py'))
    cfg.model.backbone.pop('init_cfg', None)
    model = init_model(cfg)
    model.init_weights()
    return model.to(device)


@torch.no_grad()
def infer(model: nn.Module, images: Tensor, names: list[str], dtype: str) -> dict[str, Tensor]:
    with autocast_to(dtype, images.device):
        return model.network(model, images, names)[1].logits


def step(model: nn.Module, images: Tensor, names: list[str], dtype: str) -> None:
    model.zero_grad(set_to_none=True)
    with autocast_to(dtype, images.device):
        output = model.network(model, images, names)[1]
    groups = [output.logits, *output.auxiliary.values()]
    sum(x.float().square().mean() for logits in groups for x in logits.values()).backward()


def _title(device: str) -> str:
    name = torch.cuda.get_device_name() if device.startswith('cuda') else 'CPU'
    return f'{name}, PyTorch {torch.__version__}; medians\n'


if __name__ == '__main__':
    main()
