"""Check that every config can be read, that its tasks bind, that its model can be built and takes an image; every plan.

Example:
    python tools/misc/check_configs.py configs

Models are built without memory for their weights, and run without numbers, so that large ones cost seconds. Channels
and sizes that do not fit one another are found so.
"""

import argparse
import sys
import time
from pathlib import Path

from mlore_mm.apis.analysis.flops import padded_shape
from mlore_mm.apis.comparison.plan import read_plan
from mlore_mm.apis.inference.photo_pipeline import image_size
from mlore_mm.registry import MODELS
from mlore_mm.tasks import bind_tasks

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from torch.overrides import TorchFunctionMode

PLANS = 'plans'  # folder of what is no config, but names some


class EmptyOnMeta(TorchFunctionMode):
    """Puts the tensors that layers make for their weights on the meta device, where they take no memory.

    ``torch.device('meta')`` would put every tensor there, and backbones of other packages that compute their settings
    with tensors (the rates of stochastic depth, say) cannot read them back.
    """

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        return func(*args, **{**kwargs, 'device': 'meta'} if func is torch.empty else kwargs)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('paths', nargs='*', default=['configs'], help='config files or folders (default: configs)')
    return parser.parse_args()


def config_files(paths: list[str]) -> list[Path]:
    """The named files, and all in the named folders but the parts in ``_base_``.

    Raises:
        ValueError: A path that is not there, or nothing to check.
    """
    files = []
    for path in map(Path, paths):
        if not path.exists():
            raise ValueError(f'There is no config or folder {path}.')
        inside = sorted(x for x in path.rglob('*.py') if '_base_' not in x.parts)
        files += inside if path.is_dir() else [path]
    if not files:
        raise ValueError(f'There are no configs in {paths}.')
    return files


def check(path: Path) -> str:
    """Read, bind, build and run; what the model consists of, in words."""
    if path.parent.name == PLANS:
        plan = read_plan(path)
        return f'a plan of {len(plan.runs)} runs of {plan.budget}, tasks {" ".join(plan.tasks)}'
    cfg = Config.fromfile(path)
    init_default_scope(cfg.get('default_scope', 'mlore_mm'))
    bind_tasks(cfg)
    with EmptyOnMeta():
        model = MODELS.build(cfg.model)
    run_once(model, image_size(cfg))
    parameters = sum(x.numel() for x in model.parameters())
    return f'{parameters:>13,} parameters, tasks {" ".join(cfg.model.tasks)}'


def run_once(model: torch.nn.Module, size: tuple[int, int]) -> None:
    """An image of this size goes through the model, as shapes without numbers.

    Raises:
        ValueError: A task's logits have another number of channels than the task, or another size than the image.
    """
    shape = padded_shape(model, size)
    model.to('meta').eval()
    with torch.no_grad(), torch.device('meta'):
        images = torch.zeros(1, len(model.data_preprocessor.mean), *shape)
        logits = model(images)
    for name in model.eval_tasks:
        expected, found = (1, model.tasks[name].out_channels, *shape), tuple(logits[name].shape)
        if found != expected:
            raise ValueError(f"The logits of '{name}' have the shape {found}, expected {expected}.")


def main() -> int:
    try:
        files = config_files(parse_args().paths)
    except ValueError as error:
        print(f'error: {error}', file=sys.stderr)
        return 2
    failed, width = 0, max(len(str(path)) for path in files)
    for path in files:
        start = time.monotonic()
        try:
            mark, text = 'ok  ', check(path)
        except Exception as error:  # whatever is wrong with one config, the others are checked as well
            mark, text = 'FAIL', f'{type(error).__name__}: {error}'
            failed += 1
        print(f'{mark} {str(path):<{width}} {time.monotonic() - start:>4.0f} s {text}', flush=True)
    print(f'{len(files) - failed} of {len(files)} configs are sound.')
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
