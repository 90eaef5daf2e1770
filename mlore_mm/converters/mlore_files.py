"""Published MLoRE checkpoint files to ours and back."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from mmengine.config import Config
from torch import Tensor

from mlore_mm.converters.mlore import mm_to_official, official_to_mm
from mlore_mm.converters.mlore_layout import differences, fitting_configs, read_layout
from mlore_mm.converters.naming import naming
from mlore_mm.engine.checkpoints import check_meta, read_checkpoint, read_plain, write_checkpoint
from mlore_mm.engine.checkpoints.reader import plain_weights
from mlore_mm.engine.checkpoints.weights import check_values
from mlore_mm.tasks import bind_tasks


def convert_to_mm(
    src: str, dst: str, config: str | None = None, grid: Sequence[int] | None = None, configs: Path | None = None
) -> str:
    """Write our checkpoint of a published one.

    Args:
        src: Published checkpoint, ``{'model': state dict, ...}`` or a bare state dict.
        dst: Ours: ``state_dict``, and ``meta`` with the ordered ``tasks`` and, as ``mlore``, what the weights told.
        config: Config that has to fit.
        grid: (h, w) of the feature map, where nothing else says it.
        configs: Folder to look for the fitting config in, where none is given.

    Returns:
        What was found, left out and written, for people.

    Raises:
        ValueError: The file is not a published checkpoint, has unknown keys, or does not fit the config.
    """
    checkpoint = read_plain(src)
    state = _state_dict(checkpoint, src)
    bound = bind_tasks(Config.fromfile(config)) if config else None
    check_values({}, state, src)
    with naming(src):
        converted, left_out = official_to_mm(state)
        layout = read_layout(state, grid, bound)
    if bound and (wrong := differences(layout, bound)):
        raise ValueError(f'{src} does not fit {config}:\n' + '\n'.join(f'  - {line}' for line in wrong))
    meta = dict(
        tasks=list(layout.tasks),
        epoch=_number(checkpoint, 'epoch', src),
        iter=_number(checkpoint, 'iter_count', src),
        mlore=layout.to_meta(),
    )
    write_checkpoint(dict(meta=meta, state_dict=converted), dst)
    fits = config or _names(fitting_configs(layout, configs) if configs else [])
    lines = [layout.describe(), f'config: {fits}', *_explain(left_out)]
    return '\n'.join([*lines, f'Wrote {len(converted)} tensors to {dst}.'])


def convert_to_official(src: str, dst: str, config: str | None = None) -> str:
    """Write the published layout of one of our checkpoints.

    The ranks come from the checkpoint where :func:`convert_to_mm` wrote it, else from the config.

    Raises:
        ValueError: The ranks are not known or do not fit, or a key has no counterpart.
    """
    checkpoint = read_checkpoint(src)
    check_meta(checkpoint, src)
    state, meta = checkpoint['state_dict'], checkpoint['meta']
    if config:
        ranks = bind_tasks(Config.fromfile(config)).model.decode_head.ranks
    elif 'mlore' in meta:
        with naming(src):
            ranks = [int(rank) for rank in meta['mlore']['ranks']]
    else:
        raise ValueError(f'{src} was not converted from a published checkpoint: give the config of its training.')
    stacked = next((len(x) for key, x in state.items() if key.endswith('experts.reduce.bias')), None)
    if stacked != sum(ranks):
        raise ValueError(
            f'{src} has experts of {stacked} ranks in all, but ranks={list(ranks)} add up to {sum(ranks)}.'
        )
    check_values({}, state, src)
    with naming(src):
        official = mm_to_official(state, ranks)
    write_checkpoint(dict(model=official, epoch=meta.get('epoch', 0), iter_count=meta.get('iter', 0)), dst)
    return f'Wrote {len(official)} tensors in the published layout to {dst}.'


def _state_dict(checkpoint, src: str) -> dict[str, Tensor]:
    state = checkpoint.get('model', checkpoint) if isinstance(checkpoint, dict) else None
    if not isinstance(state, dict) or not state or not all(isinstance(x, Tensor) for x in state.values()):
        found = list(checkpoint)[:8] if isinstance(checkpoint, dict) else type(checkpoint).__name__
        raise ValueError(f'{src} is not a published MLoRE checkpoint: no tensors under "model", but {found}.')
    return plain_weights(state, src)


def _number(checkpoint: dict, key: str, src: str) -> int:
    value = checkpoint.get(key, 0) if 'model' in checkpoint else 0
    if not isinstance(value, int):
        raise ValueError(f"{src} says '{key}' is {value!r}, where a number was expected.")
    return value


def _names(paths: Sequence[Path]) -> str:
    if paths:
        return ', '.join(str(path) for path in paths)
    return 'none in configs/mlore fits; write one with the numbers above'


def _explain(left_out: dict[str, str]) -> list[str]:
    """A line for each reason that keys were left out, with the keys up to the first three."""
    keys = defaultdict(list)
    for key, reason in left_out.items():
        keys[reason].append(key)
    return [
        f'left out {len(names)} tensors, {reason}: {", ".join(names[:3])}{", ..." if len(names) > 3 else ""}'
        for reason, names in keys.items()
    ]
