"""Published checkpoint files of any system to ours and back, by the system's table of keys."""

import copy
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from torch import Tensor, nn

from mlore_mm.converters.naming import naming
from mlore_mm.converters.rank_files import read_rank_files
from mlore_mm.converters.rename import KeyTable
from mlore_mm.engine.checkpoints import read_checkpoint, read_plain, write_checkpoint
from mlore_mm.engine.checkpoints.reader import plain_weights
from mlore_mm.engine.checkpoints.weights import check_values
from mlore_mm.registry import MODELS
from mlore_mm.tasks import bind_tasks

SYSTEMS: dict[str, KeyTable] = {}


def register_system(name: str, table: KeyTable) -> KeyTable:
    """Make a system's table known to the command line ``tools/model_converters/published2mm.py``."""
    SYSTEMS[name] = table
    return table


def published_state(checkpoint: Any, src: str = 'The checkpoint') -> dict[str, Tensor]:
    """The weights of a published file: under ``model``, ``state_dict``, or the file itself.

    Raises:
        ValueError: There are none.
    """
    state = checkpoint
    for key in ('model', 'state_dict'):
        state = state.get(key, state) if isinstance(state, dict) else state
    if not isinstance(state, dict) or not state or not all(isinstance(x, Tensor) for x in state.values()):
        found = list(state)[:8] if isinstance(state, dict) else type(state).__name__
        raise ValueError(f'{src} holds no tensors under "model" or "state_dict", nor itself, but {found}.')
    return plain_weights(state, src)


def convert_to_ours(
    system: str, src: str, dst: str, config: str, adapt: Callable[[dict, list[str]], dict] | None = None
) -> str:
    """Write our checkpoint of a published one, and say what was done.

    Args:
        system: One of :data:`SYSTEMS`.
        src: Published checkpoint, or the directory of files that a run on several GPUs left.
        dst: Ours: ``state_dict``, and ``meta`` with the ordered ``tasks`` of the config.
        config: Config whose model the weights have to fit, tensor by tensor.
        adapt: Weights by our keys and the tasks in order to weights by our keys, for what is not in the file, such as
            :func:`mlore_mm.converters.densemtl.reorder_sources`.

    Raises:
        ValueError: Unknown keys, or the weights do not fit.
    """
    checkpoint = read_rank_files(src) if Path(src).is_dir() else read_plain(src)
    bound = bind_tasks(Config.fromfile(config))
    with naming(src):
        table = _table(system).for_tasks(list(bound.model.tasks))
        state, left_out = table.to_ours({**published_state(checkpoint, src), **_scales(checkpoint)})
    state = adapt(state, list(bound.model.tasks)) if adapt else state
    model = build_empty(bound)
    check_fit(state, model, f'{src} does not fit {config}')
    check_values(model.state_dict(), state, src)
    epoch = int(checkpoint.get('epoch', 0)) if isinstance(checkpoint.get('epoch', 0), int) else 0
    tasks = list(bound.model.tasks)
    write_checkpoint(dict(meta=dict(tasks=tasks, system=system, epoch=epoch), state_dict=state), dst)
    reasons = defaultdict(list)
    for key, reason in left_out.items():
        reasons[reason].append(key)
    lines = [f'left out {len(keys)} tensors, {why}: {", ".join(keys[:3])}, ...' for why, keys in reasons.items()]
    return '\n'.join([*lines, f'Wrote {len(state)} tensors for the tasks {tasks} to {dst}.'])


def convert_to_published(system: str, src: str, dst: str) -> str:
    """Write the published layout of one of our checkpoints, and say so."""
    checkpoint = read_checkpoint(src)
    check_values({}, checkpoint['state_dict'], src)
    with naming(src):
        tasks = (checkpoint.get('meta') or {}).get('tasks') or []
        published = _table(system).for_tasks(list(tasks)).to_published(checkpoint['state_dict'])
    scales = {key[4:]: published.pop(key) for key in list(published) if key.startswith('AWL.')}
    file = dict(model=published, epoch=(checkpoint.get('meta') or {}).get('epoch', 0))
    write_checkpoint(file | (dict(AWL=scales) if scales else {}), dst)
    return f'Wrote {len(published)} tensors in the published layout to {dst}.'


def build_empty(bound: Config) -> nn.Module:
    """The model of a config on the meta device: shapes without numbers, and no weights fetched."""
    model = copy.deepcopy(bound.model)
    model.backbone.pop('init_cfg', None)
    with torch.device('meta'):
        return MODELS.build(model)


def check_fit(state: Mapping[str, Tensor], model: nn.Module, what: str) -> None:
    """Refuse weights that are not exactly those of the model.

    Raises:
        ValueError: ``what``, and the missing, surplus and differently shaped tensors.
    """
    wanted = {key: tuple(value.shape) for key, value in model.state_dict().items()}
    found = {key: tuple(value.shape) for key, value in state.items()}
    missing = [key for key in wanted if key not in found and not key.endswith('num_batches_tracked')]
    surplus = [key for key in found if key not in wanted]
    shapes = [f'{key} {found[key]} for {wanted[key]}' for key in wanted if found.get(key, wanted[key]) != wanted[key]]
    wrong = [
        f'{len(keys)} {kind}, such as {", ".join(keys[:3])}'
        for kind, keys in (('missing', missing), ('surplus', surplus), ('of another shape', shapes))
        if keys
    ]
    if wrong:
        raise ValueError(f'{what}: tensors {"; ".join(wrong)}. Check the tasks, their out_channels and the widths.')


def _scales(checkpoint: Any) -> dict[str, Tensor]:
    """The learned weights of the tasks, which Mod-Squad's files hold beside the model."""
    scales = checkpoint.get('AWL') if isinstance(checkpoint, dict) else None
    return {f'AWL.{key}': x for key, x in (scales or {}).items()}


def _table(system: str) -> KeyTable:
    if system not in SYSTEMS:
        raise ValueError(f"No converter is called '{system}'; there are {sorted(SYSTEMS)}.")
    return SYSTEMS[system]
