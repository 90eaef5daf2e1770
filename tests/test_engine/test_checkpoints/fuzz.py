"""Damaged and odd checkpoints for every way in, and what becomes of them; not a test by itself.

``.dev_scripts/fuzz_checkpoints.py`` runs it at length.
"""

import copy
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch
from mmengine.config import Config
from torch import Tensor

from mlore_mm.apis import init_model
from mlore_mm.apis.inference.init_model import load_weights
from mlore_mm.converters import extract_task, published
from mlore_mm.converters.mlore import mm_to_official
from mlore_mm.converters.mlore_files import convert_to_mm
from mlore_mm.converters.naming import naming
from mlore_mm.converters.published import convert_to_ours, convert_to_published
from mlore_mm.converters.sharing import join_files
from mlore_mm.converters.vit import augreg_to_timm, read_vit, timm_to_mm
from mlore_mm.engine.checkpoints import CheckedPretrainedInit, checkpoint_bytes
from mlore_mm.registry import MODELS, RUNNERS
from mlore_mm.tasks import bind_tasks
from tests.mlore_models import build_mlore
from tests.shared import REPO
from tests.systems import SYSTEMS
from tests.test_converters.test_vit import augreg_arrays
from tests.test_datasets.fuzz import mutate
from tests.training import train, write_config

KINDS = ('named', 'equal', 'other weights', 'unnamed')
RANKS = (3, 7, 2, 5)
ODD = (None, 5, -1, 10**30, math.nan, 'x', '', (), [1], {}, {'a': 1}, True, b'x', torch.zeros(2), {5: {}}, [[None]])
CONFIG = str(REPO / 'configs/pad_net/pad-net_tiny_synthrooms_nyud.py')


@dataclass(frozen=True)
class Case:
    """A file's suffix, what is in it, and a function from its path to the weights that come of it."""

    suffix: str
    content: dict
    read: Callable[[str], dict[str, Tensor]]


def cases(folder: Path) -> dict[str, Case]:
    """Every way in, with a checkpoint of a real training of two steps."""
    config, work = write_config(folder, iters=2, workers=0), folder / 'work'
    assert train(config, work, **{'train_dataloader.persistent_workers': False}) == 0
    whole = torch.load(work / 'iter_2.pth', weights_only=True)
    runner = _runner(str(config), folder)
    weights_alone = dict(state_dict=whole['state_dict'], meta=whole['meta'])

    def test(path):
        return _filled(runner.model, lambda: load_weights(runner.model, path))

    def init_cfg(path):
        return _filled(runner.model, lambda: CheckedPretrainedInit(path)(runner.model))

    def load_from(path):
        return _filled(runner.model, lambda: runner.load_checkpoint(path))

    def resume(path):
        return _filled(runner.model, lambda: runner.resume(path))

    theirs, mlore, extraction = _published(folder), build_mlore(ranks=RANKS), _Extraction()
    return {
        'test .pth': Case('.pth', weights_alone, test),
        'test .safetensors': Case('.safetensors', weights_alone, test),
        'resume': Case('.pth', whole, resume),
        'load_from': Case('.pth', whole, load_from),
        'init_cfg': Case('.pth', weights_alone, init_cfg),
        'converter': Case('.pth', theirs, lambda path: _converted(path, folder)),
        'converter back': Case(
            '.pth', torch.load(folder / 'ours.pth', weights_only=True), lambda path: _converted_back(path, folder)
        ),
        'converter vit': Case('.pth', augreg_to_timm(augreg_arrays()), _vit),
        'mlore2mm': Case(
            '.pth', dict(model=mm_to_official(mlore.state_dict(), RANKS)), lambda path: _mlore(path, folder)
        ),
        'join': Case('.pth', dict(state_dict=_single()), lambda path: _joined(path, folder)),
        'extract': Case('.pth', extraction.content(), extraction),
    }


def _runner(config: str, folder: Path):
    """One that has all that a training goes on with."""
    cfg = Config.fromfile(config)
    cfg.work_dir, cfg.resume = str(folder / 'fuzz'), True
    cfg.train_dataloader.persistent_workers = False
    runner = RUNNERS.build(cfg)
    runner._train_loop = runner.build_train_loop(runner._train_loop)
    runner.optim_wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
    runner.param_schedulers = runner.build_param_scheduler(runner.param_schedulers)
    return runner


def _filled(model, load: Callable[[], object]) -> dict[str, Tensor]:
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    load()
    return {name: x.clone() for name, x in model.state_dict().items()}


def _published(folder: Path) -> dict:
    model = MODELS.build(bind_tasks(Config.fromfile(CONFIG)).model)
    source, target = folder / 'ours.pth', folder / 'published.pth'
    torch.save(dict(state_dict=model.state_dict(), meta=dict(tasks=list(model.tasks))), source)
    convert_to_published('pad_net', str(source), str(target))
    return torch.load(target, weights_only=True)


@cache
def _config_and_model():
    config = Config.fromfile(CONFIG)
    return config, published.build_empty(bind_tasks(config))


def _converted(path: str, folder: Path) -> dict[str, Tensor]:
    config, model = _config_and_model()  # once for all files; to build them takes longer than to convert
    with (
        patch.object(published, 'build_empty', lambda bound: model),
        patch.object(Config, 'fromfile', lambda _: config),
    ):
        convert_to_ours('pad_net', path, str(folder / 'converted.pth'), CONFIG)
    return torch.load(folder / 'converted.pth', weights_only=True)['state_dict']


def _converted_back(path: str, folder: Path) -> dict[str, Tensor]:
    convert_to_published('pad_net', path, str(folder / 'converted.pth'))
    return torch.load(folder / 'converted.pth', weights_only=True)['model']


def _mlore(path: str, folder: Path) -> dict[str, Tensor]:
    convert_to_mm(path, str(folder / 'converted.pth'), grid=(2, 3))
    return torch.load(folder / 'converted.pth', weights_only=True)['state_dict']


def _single() -> dict[str, Tensor]:
    names = ('backbone.conv1.weight', 'backbone.bn1.bias', 'decode_head.heads.depth.conv.weight')
    return {name: torch.full((3, 2), float(i + 1)) for i, name in enumerate(names)}


def _joined(path: str, folder: Path) -> dict[str, Tensor]:
    whole = {key.replace('depth', 'semseg'): x for key, x in _single().items()}
    torch.save(dict(state_dict=whole), folder / 'beside.pth')
    join_files(dict(depth=path, semseg=str(folder / 'beside.pth')), str(folder / 'joined.pth'))
    return torch.load(folder / 'joined.pth', weights_only=True)['state_dict']


class _Extraction:
    """One task of Mod-Squad, with counts of its experts, cut out of a checkpoint."""

    def __init__(self) -> None:
        model = copy.deepcopy(SYSTEMS['mod_squad'].config())
        self.cfg = Config(dict(tasks=model['tasks'], model=model))
        self.model = init_model(self.cfg)
        self.task = list(self.model.tasks)[0]

    def content(self) -> dict:
        for part in self.model.backbone.mixtures().values():
            part.usage.count = torch.arange(part.usage.count.numel()).view_as(part.usage.count).double() + 1
        return copy.deepcopy(dict(state_dict=dict(self.model.state_dict()), meta=dict(tasks=list(self.model.tasks))))

    def __call__(self, path: str) -> dict[str, Tensor]:
        load_weights(self.model, path)
        with naming(path):
            return extract_task(self.cfg, self.model, self.task).state


def _vit(path: str) -> dict[str, Tensor]:
    with naming(path):
        return timm_to_mm(read_vit(path))[0]


def odd(content: dict, rng: np.random.Generator) -> tuple[dict, str]:
    """The same with one entry changed: another value, another name, or missing; tensors of another form. And where."""
    content = copy.deepcopy(content)
    place, where = content, ''
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        key = keys[int(rng.integers(len(keys)))]
        inner, where = place[key], f'{where}/{key}'
        if not isinstance(inner, (dict, list)) or not inner or rng.random() < 0.2:
            break
        place = inner
    kind = int(rng.integers(5))
    if kind == 0 and isinstance(place, dict):
        del place[key]
        return content, f'{where} is missing'
    if kind == 1 and isinstance(place, dict):
        place[int(rng.integers(9)) if rng.random() < 0.3 else f'{key}_'] = place.pop(key)
        return content, f'{where} is called otherwise'
    if isinstance(inner, Tensor) and kind > 2:
        ways = (
            lambda x: x[None],
            lambda x: x.double(),
            lambda x: x.long(),
            lambda x: x.flatten()[:0],
            lambda x: (x.float() * math.nan).to(x.dtype) if x.is_floating_point() else x,
            lambda x: x.to_sparse() if x.dim() else x.bool(),
            lambda x: x.to('meta'),
            lambda x: x.to(torch.complex64),
            lambda x: x.half() if x.is_floating_point() else x.int(),
            lambda x: x.bfloat16() if x.is_floating_point() else x.short(),
            lambda x: x.to(torch.float8_e4m3fn) if x.is_floating_point() else x.bool(),
        )
        way = int(rng.integers(len(ways)))
        place[key] = ways[way](inner)
        return content, f'{where} in form {way}'
    place[key] = ODD[int(rng.integers(len(ODD)))]
    return content, f'{where} is {place[key]!r}'


def outcomes(
    case: Case,
    folder: Path,
    count: int,
    seed: int = 0,
    unnamed: list | None = None,
    others: list | None = None,
    damage: str = '',
) -> Counter:
    """What becomes of ``count`` files with damaged 'bytes', with odd 'content', or half of each.

    Foreign errors are kept in ``unnamed``, what was odd about files with other weights in ``others``.
    """
    counts, rng = Counter(), np.random.default_rng(seed)
    path = folder / f'fuzzed{case.suffix}'
    data = checkpoint_bytes(case.content, str(path))
    path.write_bytes(data)
    expected = case.read(str(path))
    for number in range(count):
        what = 'bytes'
        try:
            if damage == 'bytes' or (not damage and number % 2):
                bad = mutate(data, rng)
            else:
                content, what = odd(case.content, rng)
                bad = checkpoint_bytes(content, str(path))
        except Exception:  # nothing that could be written
            continue
        path.write_bytes(bad)
        try:
            found = case.read(str(path))
        except Exception as error:
            named = isinstance(error, ValueError) and path.name in str(error)
            counts['named' if named else 'unnamed'] += 1
            if not named and unnamed is not None:
                unnamed.append(error)
        else:
            same = _same(found, expected)
            counts['equal' if same else 'other weights'] += 1
            if not same and others is not None:
                others.append(what)
    return counts


def _same(found: dict, expected: dict) -> bool:
    """Up to weights that were stored in 16 bits, whose values are the rounded ones."""
    return found.keys() == expected.keys() and all(
        any(torch.equal(found[name], form) for form in (x, *_rounded(x))) for name, x in expected.items()
    )


def _rounded(x: Tensor) -> list[Tensor]:
    return [x.to(kind).to(form) for kind in (torch.float16, torch.bfloat16) for form in (x.dtype, kind)] * (
        x.is_floating_point()
    )
