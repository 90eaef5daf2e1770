"""What a plan may say: names and forms, what is its own business and not that of options, and equal conditions."""

import copy
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from mmengine.config import Config

from mlore_mm.tasks.bind import leaf_datasets
from mlore_mm.utils.accepted_keys import closest
from mlore_mm.utils.config_variables import resolve_variables

KEYS = ('name', 'systems', 'single_task', 'encoders', 'data', 'budget', 'seeds', 'tasks', 'cfg_options')
_FORMS = dict(systems=Mapping, encoders=Mapping, data=Mapping, budget=Mapping, cfg_options=Mapping)
# Settings of a config that the plan makes itself, and where they are said instead.
_OWN = {
    'max_iters': 'budget.iterations',
    'train_cfg.max_iters': 'budget.iterations',
    'train_cfg.val_interval': 'budget.iterations (the validation comes after the last one)',
    'randomness.seed': 'seeds',
    'task_names': 'tasks',
    'work_dir': '--work-dir',
    'default_hooks.checkpoint.by_epoch': 'nowhere (runs are of iterations)',
    'default_hooks.checkpoint.interval': 'nowhere (a run saves five times)',
    'default_hooks.checkpoint.max_keep_ckpts': 'nowhere (the last checkpoint is kept)',
    'default_hooks.checkpoint.save_best': 'nowhere (no checkpoint is chosen by its score)',
    'visualizer.vis_backends': 'nowhere (runs of a comparison write to their folder)',
}
_SAMPLES = ('type', 'data_root', 'ann_file', 'indices', 'data_prefix')  # what tells which samples a data set has


def check_keys(entry: Mapping, known: tuple[str, ...], where: str) -> None:
    """Raises:
    ValueError: A name that is not known; those with an underscore in front are the plan's own variables.
    """
    for key in entry:
        if key not in known and not key.startswith('_'):
            meant = closest(key, known, 0.6)
            hint = f' Did you mean {meant!r}?' if meant else ''
            raise ValueError(f'{where} has {key!r}, but takes {", ".join(known)} only.{hint}')


def check_plan(raw: Mapping, path: str | Path) -> None:
    """Raises:
    ValueError: An unknown name, or a value of another form than read_plan's docstring says.
    """
    check_keys(raw, KEYS, f'The plan {path}')
    for key, form in _FORMS.items():
        if raw.get(key) is not None and not isinstance(raw[key], form):
            raise ValueError(f'`{key}` of the plan {path} has to be a dict, but is {raw[key]!r}.')
    if not raw.get('systems'):
        raise ValueError(f'The plan {path} names no `systems`, as in systems=dict(mlore=dict(config=...)).')


def read_seeds(given, path: str | Path) -> tuple[int, ...]:
    """The seeds of a plan, of which one may stand alone; (0,) where there are none.

    Raises:
        ValueError: No whole numbers, or one twice.
    """
    seeds = (0,) if given is None else (given,) if isinstance(given, int) else given
    if isinstance(seeds, str) or not isinstance(seeds, Sequence) or not seeds or not all(map(_is_seed, seeds)):
        raise ValueError(f'`seeds` of the plan {path} has to be a list of whole numbers from 0 on, but is {given!r}.')
    if len(set(seeds)) != len(seeds):
        raise ValueError(f'The plan {path} has a seed twice: {list(seeds)}.')
    return tuple(seeds)


def check_encoders(systems: Mapping[str, Mapping], encoders: Iterable[str], path: str | Path) -> None:
    """Raises:
    ValueError: A system names encoders that the plan does not have, or none.
    """
    encoders = list(encoders)
    for name, system in systems.items():
        given = system['encoders']
        if given is None:
            continue
        unknown = [x for x in given if x not in encoders]
        if unknown or not given:
            meant = closest(unknown[0], encoders, 0.6) if unknown and isinstance(unknown[0], str) else None
            raise ValueError(
                f"The system '{name}' of the plan {path} names the encoders {list(given)}, but the plan has {encoders}."
                + (f' Did you mean {meant!r}?' if meant else '')
            )


def check_options(options: Mapping, where: str) -> None:
    """Raises:
    ValueError: ``cfg_options`` set what the plan itself sets, so that they would have no effect.
    """
    for key in _flat(options):
        if key in _OWN:
            raise ValueError(f'{where} sets {key}, which a comparison sets itself. Where it is said: {_OWN[key]}.')


def check_conditions(configs: Mapping[str, Config], path: str | Path) -> list[str]:
    """What runs that are compared do not have in common in their training, one sentence each.

    Args:
        configs: By system, of one encoder.
        path: The plan.

    Raises:
        ValueError: They are not scored on the same samples.
    """
    found = {name: _conditions(cfg) for name, cfg in configs.items()}
    (first, wanted), *others = found.items()
    different = []
    for name, conditions in others:
        if conditions['val'] != wanted['val']:
            raise ValueError(
                f"The plan {path} would score '{first}' and '{name}' on different samples, {wanted['val']} and "
                f'{conditions["val"]}: give both the same val_dataloader.dataset.'
            )
        for what in ('training samples', 'batch size'):
            if conditions[what] != wanted[what]:
                different.append(f"{what} of '{first}' {wanted[what]}, of '{name}' {conditions[what]}")
    return different


def _conditions(cfg: Config) -> dict:
    cfg = Config(copy.deepcopy(cfg.to_dict()))
    resolve_variables(cfg)
    return {
        'val': _samples(cfg.get('val_dataloader')),
        'training samples': _samples(cfg.get('train_dataloader')),
        'batch size': (cfg.get('train_dataloader') or {}).get('batch_size', 1)
        * (cfg.get('optim_wrapper') or {}).get('accumulative_counts', 1),
    }


def _samples(loader: Mapping | None) -> list[dict]:
    return [{key: leaf[key] for key in _SAMPLES if leaf.get(key) is not None} for leaf in leaf_datasets(loader or {})]


def _flat(options: Mapping, above: str = '') -> list[str]:
    """Dotted keys of everything that is set, however deep the dicts."""
    keys = []
    for key, value in options.items():
        name = f'{above}{key}'
        keys += [name, *(_flat(value, f'{name}.') if isinstance(value, Mapping) else ())]
    return keys


def _is_seed(value) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
