"""What a plan may say: names and forms, what is its own business and not that of options, and equal conditions."""

import copy
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from mmengine.config import Config

from mlore_mm.tasks.bind import leaf_datasets
from mlore_mm.utils.accepted_keys import closest
from mlore_mm.utils.config_variables import resolve_variables

KEYS = ('name', 'systems', 'single_task', 'encoders', 'data', 'budget', 'seeds', 'tasks', 'cfg_options')
_DICTS = ('systems', 'encoders', 'data', 'budget', 'cfg_options')
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
# What of a data set's config does not tell which samples and labels it has.
_NOT_SAMPLES = ('pipeline', 'metainfo', 'on_error', 'test_mode', 'lazy_init', 'serialize_data', 'max_refetch')


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
    ValueError: An unknown name, a value of another form than read_plan's docstring says, or options that the plan sets
        itself. Systems are looked at where they are read.
    """
    check_keys(raw, KEYS, f'The plan {path}')
    encoders = raw.get('encoders')
    entries = {f'encoders.{name}': x for name, x in encoders.items()} if isinstance(encoders, Mapping) else {}
    for key, entry in {**{key: raw[key] for key in _DICTS if raw.get(key) is not None}, **entries}.items():
        if not isinstance(entry, Mapping):
            raise ValueError(f'`{key}` of the plan {path} has to be a dict, but is {entry!r}.')
    if not raw.get('systems'):
        raise ValueError(f'The plan {path} names no `systems`, as in systems=dict(mlore=dict(config=...)).')
    data = raw.get('data') or {}
    check_keys(data, ('name', 'cfg_options'), f'`data` of the plan {path}')
    for key, entry in entries.items():
        check_keys(entry, ('cfg_options',), f'{key} of the plan {path}')
    for key, entry in {'data': data, 'cfg_options': raw, **entries}.items():
        check_options(entry.get('cfg_options') or {}, f'`{key}` of the plan {path}')


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
            one, other = _differing(wanted['val'], conditions['val'])
            raise ValueError(
                f"The plan {path} would score '{first}' and '{name}' on different samples or labels, {one} and "
                f'{other}: give both the same val_dataloader.dataset.'
            )
        for what in ('training samples', 'batch size'):
            if conditions[what] != wanted[what]:
                one, other = _differing(wanted[what], conditions[what])
                different.append(f"{what} of '{first}' {one}, of '{name}' {other}")
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
    leaves = list(leaf_datasets(loader or {}))
    return [{key: x for key, x in leaf.items() if key not in _NOT_SAMPLES and x is not None} for leaf in leaves]


def _differing(one, other) -> tuple:
    """What of two conditions to show: of two data sets with the same keys but for a few, these."""
    if not (isinstance(one, list) and len(one) == len(other) == 1):
        return one, other
    keys = [key for key in {**one[0], **other[0]} if one[0].get(key) != other[0].get(key)]
    return tuple({key: x[0].get(key) for key in keys} for x in (one, other))


def _flat(options: Mapping, above: str = '') -> list[str]:
    """Dotted keys of everything that is set, however deep the dicts."""
    keys = []
    for key, value in options.items():
        name = f'{above}{key}'
        keys += [name, *(_flat(value, f'{name}.') if isinstance(value, Mapping) else ())]
    return keys


def _is_seed(value) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
