"""A plan names what is compared; here it becomes a list of runs, each with its whole config."""

import copy
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mmengine.config import Config

from mlore_mm.apis.comparison.plan_checks import (
    check_conditions,
    check_encoders,
    check_keys,
    check_options,
    check_plan,
    read_seeds,
)
from mlore_mm.apis.training.config import load_config
from mlore_mm.apis.training.overrides import apply_overrides
from mlore_mm.engine.config_check import check_config, check_overrides
from mlore_mm.tasks import bind_tasks, check_task_names
from mlore_mm.utils.config_variables import resolve_variables

SINGLE = 'single task'
AS_CONFIGURED = 'as configured'
KEY = ('data', 'encoder', 'budget', 'system', 'task', 'seed')  # fields that tell runs apart
_SYSTEM_KEYS = ('config', 'cfg_options', 'encoders')
_SAVES = 5  # checkpoints that a run writes at even distances, from which it goes on


@dataclass(frozen=True)
class Run:
    """One training.

    Args:
        encoder: Its name in the plan.
        system: Likewise; :data:`SINGLE` for a model of one task.
        task: Of a single-task model, else None.
        seed: Of all random numbers.
        budget: In words, such as '300 iterations'; runs are compared with those of the same budget.
        data: What it is trained on, in words.
        cfg: The config, without its length where the budget is in seconds.
        seconds: The budget, where it is one of time.
    """

    encoder: str
    system: str
    task: str | None
    seed: int
    budget: str
    data: str
    cfg: Config = field(repr=False, compare=False)
    seconds: float | None = None

    @property
    def key(self) -> tuple:
        """What tells it from the others of a comparison."""
        return tuple(getattr(self, name) for name in KEY)

    @property
    def digest(self) -> str:
        """Of everything that the config says, and of the budget."""
        return _digest(dict(cfg=self.cfg.to_dict(), budget=self.budget))

    @property
    def recipe(self) -> str:
        """The digest without the seed: runs of one recipe take equally long."""
        cfg = self.cfg.to_dict()
        cfg.pop('randomness', None)
        return _digest(dict(cfg=cfg, budget=self.budget))

    @property
    def title(self) -> str:
        return ', '.join(x for x in (self.encoder, self.system, self.task, f'seed {self.seed}') if x)

    def folder(self, work_dir: str | Path) -> Path:
        """Where it lies; a run of another config has another folder."""
        words = (self.encoder, self.system, self.task or '', f'seed{self.seed}')
        return Path(work_dir) / 'runs' / f'{"_".join(_file_name(x) for x in words if x)}_{self.digest[:8]}'


@dataclass(frozen=True)
class Plan:
    """What is compared; the runs are in the order of their seeds, so that one of everything is done first."""

    name: str
    data: str
    budget: str
    tasks: tuple[str, ...]
    seeds: tuple[int, ...]
    runs: tuple[Run, ...]
    unequal: tuple[str, ...] = ()  # what the systems of an encoder do not have in common in their training


def read_plan(path: str | Path, options: Mapping | None = None) -> Plan:
    """Read a plan, a Python config with

    - ``systems``: by name ``dict(config=..., cfg_options={...}, encoders=[...])``; a path or the options alone do, too;
    - ``single_task``: the same of the models of one task, trained for every task; None leaves ``delta_m`` out;
    - ``encoders``: by name ``dict(cfg_options={...})``; by default that of each config;
    - ``data``: ``dict(name=..., cfg_options={...})``;
    - ``budget``: ``dict(iterations=N)``, or ``dict(seconds=S)`` for as many iterations as fit into that time;
    - ``seeds``; ``tasks``, names; ``cfg_options`` of all runs; ``name``, a title.

    Options come in the order data, all, encoder, system, the later ones over the earlier. Paths of configs are relative
    to the current folder, that of the plan, or one above it.

    Args:
        path: The plan.
        options: Overrides of the plan by dotted key, as in ``{'budget.iterations': 10}``.

    Raises:
        ValueError: No such file, a name that a plan does not have, a value of another form, options that the plan sets
            itself, a config that is not there or does not take the options, or systems scored on different samples.
    """
    if not Path(path).is_file():
        raise ValueError(f'There is no plan {path}. Plans are in configs/comparison/plans.')
    raw = Config.fromfile(path)
    apply_overrides(raw, dict(options or {}))
    raw = raw.to_dict()
    check_plan(raw, path)
    seeds = read_seeds(raw.get('seeds'), path)
    systems = {name: _system(x, f'systems.{name}', path) for name, x in raw['systems'].items()}
    if SINGLE in systems:
        raise ValueError(f"The plan {path} has a system '{SINGLE}', which is the name of the models of `single_task`.")
    single = _system(raw['single_task'], 'single_task', path) if raw.get('single_task') else None
    encoders = raw.get('encoders') or {AS_CONFIGURED: {}}
    check_encoders({**systems, SINGLE: single} if single else systems, encoders, path)
    data = raw.get('data') or {}
    budget, iterations, seconds = _budget(raw.get('budget'), path)
    shared = [data.get('cfg_options') or {}, raw.get('cfg_options') or {}]

    def build(system: dict, encoder: str, names: list[str] | None) -> Config:
        layers = [*shared, encoders[encoder].get('cfg_options') or {}, system['cfg_options']]
        return _config(system['config'], layers, names, iterations)

    system = next(iter(systems.values()))
    first = build(system, (system['encoders'] or list(encoders))[0], None)
    known = list(first.get('task_names') or first.get('tasks') or {})
    tasks = tuple(check_task_names(raw.get('tasks') or known, known))
    words = dict(budget=budget, data=data.get('name') or _data_name(first), seconds=seconds)
    runs, unequal = [], []
    for encoder in encoders:
        compared: dict[str, Config] = {}
        entries = [(SINGLE, task, single, [task]) for task in tasks] if single else []
        entries += [(name, None, system, list(tasks)) for name, system in systems.items()]
        for name, task, system, names in entries:
            if encoder in (system['encoders'] or encoders):
                cfg = build(system, encoder, names)
                compared[name] = cfg
                runs += [Run(encoder, name, task, seed, cfg=_seeded(cfg, seed), **words) for seed in seeds]
        unequal += [f'{encoder}: {x}' for x in check_conditions(compared, path)] if compared else []
    runs.sort(key=lambda run: seeds.index(run.seed))
    name = raw.get('name') or Path(path).stem
    return Plan(name, words['data'], budget, tasks, seeds, tuple(runs), tuple(unequal))


def set_iterations(cfg: Config, iterations: int) -> None:
    """The length of a training, with a validation at its end and checkpoints on the way."""
    if 'max_iters' in cfg:  # what '$max_iters' stands for in the schedule
        cfg.max_iters = iterations
    cfg.train_cfg.update(max_iters=iterations, val_interval=iterations)
    cfg.default_hooks.checkpoint.update(interval=-(-iterations // _SAVES))


def _config(path: Path, layers: list[dict], task_names: list[str] | None, iterations: int | None) -> Config:
    cfg = load_config(str(path))
    for options in filter(None, layers):
        check_overrides(cfg, options)
        apply_overrides(cfg, options)
    if 'Iter' not in str((cfg.get('train_cfg') or {}).get('type')):
        raise ValueError(
            f"{path} is not trained by iterations: a comparison needs train_cfg.type='IterBasedTrainLoop'."
        )
    if task_names:
        cfg.task_names = list(task_names)
    hooks = cfg.setdefault('default_hooks', {})
    checkpoint = hooks.setdefault('checkpoint', dict(type='SafeCheckpointHook'))
    checkpoint.update(by_epoch=False, max_keep_ckpts=1, save_best=None)
    if cfg.get('visualizer'):
        cfg.visualizer.vis_backends = [dict(type='LocalVisBackend')]
    if iterations is not None:
        set_iterations(cfg, iterations)
    check_config(bind_tasks(copy.deepcopy(cfg)))  # now, and not in the middle of the night
    return cfg


def _seeded(cfg: Config, seed: int) -> Config:
    cfg = Config(cfg.to_dict(), filename=cfg.filename)
    cfg.randomness = {**(cfg.get('randomness') or {}), 'seed': seed}
    cfg.pop('work_dir', None)
    return cfg


def _system(entry, where: str, plan: str | Path) -> dict:
    if not isinstance(entry, (str, Mapping)):
        raise ValueError(f'{where} of the plan {plan} has to be a path or a dict, but is {entry!r}.')
    entry = dict(config=entry) if isinstance(entry, str) else dict(entry)
    check_keys(entry, _SYSTEM_KEYS, f'{where} of the plan {plan}')
    if not entry.get('config'):
        raise ValueError(f'{where} of the plan {plan} names no `config`.')
    given = Path(entry['config'])
    found = next((x for x in (given, *(y / given for y in Path(plan).resolve().parents)) if x.is_file()), None)
    if found is None:
        raise ValueError(
            f'{where} of the plan {plan} names {given}, which is no file here, beside the plan, or in a folder above '
            'the plan.'
        )
    check_options(entry.get('cfg_options') or {}, f'{where} of the plan {plan}')
    encoders = entry.get('encoders')
    encoders = [encoders] if isinstance(encoders, str) else encoders
    return dict(config=found, cfg_options=entry.get('cfg_options') or {}, encoders=encoders)


def _budget(entry: Mapping | None, path: str | Path) -> tuple[str, int | None, float | None]:
    """In words, iterations, seconds."""
    entry = {key: value for key, value in (entry or {}).items() if value is not None}
    check_keys(entry, ('iterations', 'seconds'), f'`budget` of the plan {path}')
    if len(entry) != 1 or not all(isinstance(x, (int, float)) and x > 0 for x in entry.values()):
        raise ValueError(f'The plan {path} needs budget=dict(iterations=N) or dict(seconds=S), but has {entry}.')
    iterations, seconds = entry.get('iterations'), entry.get('seconds')
    if iterations is not None:
        return f'{int(iterations)} iterations', int(iterations), None
    return f'{seconds:g} s', None, float(seconds)


def _data_name(cfg: Config) -> str:
    """The folder of the data, as a name for tables."""
    cfg = Config(cfg.to_dict())
    resolve_variables(cfg)
    return Path(str(cfg.get('data_root') or cfg.train_dataloader.dataset.get('data_root') or 'data')).name


def _digest(content: dict) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()


def _file_name(text: str) -> str:
    return ''.join(x if x.isalnum() or x in '-.+' else '-' for x in text)
