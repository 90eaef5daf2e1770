"""Settings whose names follow from the tasks: baselines and the number by which the best checkpoint is chosen."""

import inspect
from collections.abc import Iterable, Mapping
from importlib.util import find_spec

import torch

from mlore_mm.registry import EVALUATOR, METRICS, MODELS
from mlore_mm.tasks import TaskSet
from mlore_mm.utils.accepted_keys import closest


def check_baselines(cfg) -> list[str]:
    """Baselines of tasks that there are, above 0."""
    problems = []
    for split in ('val', 'test'):
        place, evaluator = f'{split}_evaluator.baselines', cfg.get(f'{split}_evaluator')
        baselines = evaluator.get('baselines') if isinstance(evaluator, dict) else None
        for name, value in (baselines or {}).items():
            if name not in cfg.tasks:
                meant = closest(name, cfg.tasks)
                hint = f'Did you mean {meant!r}?' if meant else f'The tasks are {list(cfg.tasks)}.'
                problems.append(f'{place}.{name}: there is no such task. {hint}')
            elif isinstance(value, str) or not value > 0:
                problems.append(f'{place}.{name} is {value!r}, expected a number above 0.')
    return problems


def check_scope(cfg) -> list[str]:
    """``default_scope`` is a package whose registries are there."""
    scope = cfg.get('default_scope')
    known = sorted({'mmengine', MODELS.scope, *MODELS.parent.children})
    if scope is None or scope in known or (isinstance(scope, str) and find_spec(scope) is not None):
        return []
    meant = closest(str(scope), known)
    hint = f'Did you mean {meant!r}?' if meant else f'There are {", ".join(known)}.'
    return [f'default_scope is {scope!r}, which is no package here. {hint}']


def check_counting(cfg) -> list[str]:
    """Schedules and checkpoints that count epochs, mmengine's default, in a training that counts iterations."""
    loop = cfg.get('train_cfg') or {}
    kind = loop.get('type', '' if loop.get('by_epoch', True) else 'IterBasedTrainLoop')
    if str(getattr(kind, '__name__', kind)).split('.')[-1] != 'IterBasedTrainLoop':
        return []
    schedules = cfg.get('param_scheduler') or []
    parts = {f'param_scheduler.{i}': x for i, x in enumerate(schedules if isinstance(schedules, list) else [schedules])}
    hooks = cfg.get('default_hooks')
    parts['default_hooks.checkpoint'] = hooks.get('checkpoint') if isinstance(hooks, dict) else None
    return [
        f'{place} counts epochs (by_epoch is True where it is not given), of which a training by iterations has one: '
        f'it would do nothing before the end. Set {place}.by_epoch=False.'
        for place, part in parts.items()
        if isinstance(part, dict) and 'type' in part and part.get('by_epoch', True)
        if not part.get('convert_to_iter_based')
    ]


def idle_settings(cfg) -> list[str]:
    """What a training of this length never comes to: it is no mistake where a long training is tried out shortly."""
    loop, told = cfg.get('train_cfg') or {}, []
    unit = 'max_epochs' if loop.get('max_epochs') else 'max_iters'
    last = loop.get(unit)
    if not last:
        return []
    if cfg.get('val_dataloader') and loop.get('val_begin', 1) > last:
        told.append(f'train_cfg.val_begin is {loop["val_begin"]}, more than {unit}={last}: there is no validation.')
    schedules = cfg.get('param_scheduler') or []
    for index, item in enumerate([schedules] if isinstance(schedules, dict) else schedules):
        by_epoch = isinstance(item, dict) and item.get('by_epoch', True) and not item.get('convert_to_iter_based')
        if isinstance(item, dict) and by_epoch == (unit == 'max_epochs') and item.get('begin', 0) >= last:
            told.append(
                f'param_scheduler.{index} begins at {item["begin"]}, after the end of the training ({unit}={last}).'
            )
    return told


def check_headlines(cfg) -> list[str]:
    """``headline`` of a task, where a config gives one, is a number that its metric reports."""
    problems, tasks = [], TaskSet(cfg.tasks)
    for name in tasks:
        given = cfg.tasks[name].get('headline')
        known = [x.partition('/')[2] for x in _reported(tasks, name)] if given else []
        if known and given not in known:
            meant = closest(given, known)
            hint = f'Did you mean {meant!r}?' if meant else f'There are {", ".join(known)}.'
            problems.append(f'tasks.{name}.headline is {given!r}, which its metric does not report. {hint}')
    return problems


def check_save_best(cfg) -> list[str]:
    """``save_best`` of the checkpoint hook, and ``monitor`` of any hook or schedule, name numbers that are reported."""
    evaluator, model = cfg.get('val_evaluator'), cfg.get('model')
    if not _reports_by_task(evaluator) or evaluator.get('metrics') or not isinstance(model, dict):
        return []
    tasks = TaskSet(evaluator['tasks'])
    problems = []
    for place, key in _watched(cfg):
        if key in ('auto', 'delta_m') or (place.endswith('monitor') and str(key).endswith(('loss', 'lr'))):
            continue
        task, _, number = str(key).partition('/')
        known = _reported(tasks, task) if task in tasks else [f'{name}/{tasks[name].headline}' for name in tasks]
        if known and key not in known and f'{task}/{number}' not in known:
            meant = closest(str(key), [*known, 'delta_m', 'auto'])
            hint = f'Did you mean {meant!r}?' if meant else f'There are {", ".join(known)}.'
            problems.append(f'{place} is {key!r}, which no evaluation reports. {hint}')
    return problems


def _watched(cfg) -> Iterable[tuple[str, str]]:
    """Place and name of every number that something waits for."""
    for where in ('default_hooks', 'custom_hooks', 'param_scheduler'):
        parts = cfg.get(where) or []
        if where == 'param_scheduler' and isinstance(parts, dict):
            parts = [parts]
        if not isinstance(parts, (dict, list, tuple)):  # told elsewhere
            continue
        for name, part in parts.items() if isinstance(parts, dict) else enumerate(parts):
            for option in ('save_best', 'monitor') if isinstance(part, dict) else ():
                keys = part.get(option) or []
                for key in [keys] if isinstance(keys, str) else keys:
                    yield f'{where}.{name}.{option}', key


def _reports_by_task(evaluator) -> bool:
    if not isinstance(evaluator, dict) or 'tasks' not in evaluator:
        return False
    cls = EVALUATOR.get(evaluator['type']) if isinstance(evaluator['type'], str) else evaluator['type']
    return isinstance(cls, type) and 'tasks' in inspect.signature(cls).parameters


def _reported(tasks: TaskSet, name: str) -> Iterable[str]:
    """Names of the numbers that the metric of a task gives, found by asking it about one small unlabelled image."""
    task = tasks[name]
    config: Mapping = dict(task.metric, task=name)
    try:
        if 'workers' in inspect.signature(METRICS.get(config['type'])).parameters:
            config['workers'] = 0
        metric = METRICS.build(config)
        metric.dataset_meta = dict(tasks=tasks.to_config())
        target = torch.full((task.target_channels, 8, 8), float(task.ignore_value))
        totals = metric.measure(torch.zeros(1, 8, 8), target, task.valid_mask(target))
        return [f'{metric.prefix}/{number}' for number in metric.summarize(totals)]
    except Exception:  # a metric that cannot be asked is believed
        return []
