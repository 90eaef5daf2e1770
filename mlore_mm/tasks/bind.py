"""Hands the final values of a config (tasks, and variables such as the crop size) to everything that needs them."""

import inspect
from copy import deepcopy
from difflib import get_close_matches

from mmengine.config import Config

from mlore_mm.registry import EVALUATOR
from mlore_mm.tasks.task_set import TaskSet, check_task_names
from mlore_mm.utils.config_variables import resolve_variables

_SPLITS = ('train', 'val', 'test')


def bind_tasks(cfg: Config) -> Config:
    """Cut ``cfg.tasks`` to ``cfg.task_names`` and copy it to the model, the data sets and the evaluators, in place.

    mmengine copies variables while it reads a config, so ``--cfg-options tasks.edge.loss_weight=20`` reaches the
    top-level variable only; calling this afterwards makes every place agree. Calling it twice changes nothing.

    Before that every ``'$...'`` of the config gets its value, see :func:`resolve_variables`: ``'$crop_size'``,
    ``'$max_iters + 1'``.

    The config may hold, all optional:

    - ``task_names``: the tasks to use out of ``tasks``, in the order of ``tasks``;
    - ``aux_tasks``: names that are loaded and supervised, but neither predicted nor evaluated;
    - ``eval_tasks``: names to predict and evaluate, all but ``aux_tasks`` by default.

    Raises:
        ValueError: An unknown task name, a misspelt one in the ``labels`` of a data set, or a config without ``tasks``.
    """
    resolve_variables(cfg)
    for key in [key for key in cfg if key != 'tasks']:  # a task's own `_delete_` says something, see TaskSet
        _drop_left_over_delete(cfg[key])
    if not cfg.get('tasks'):
        raise ValueError(
            f'The config {cfg.filename or ""} has no `tasks`. Inherit a file of configs/_base_/datasets or define '
            f"tasks = dict(semseg=dict(type='SemSeg', out_channels=...), ...)."
        )
    plain = Config(dict(tasks=cfg.tasks)).to_dict()['tasks']  # no ConfigDict left, they do not survive pickling well
    for name, task in plain.items():
        if not isinstance(task, dict):
            raise ValueError(
                f"tasks.{name} is {task!r}, but a task is a dict such as dict(type='Depth'). The tasks are "
                f'{[x for x in plain if isinstance(plain[x], dict)]}.'
            )
    wanted = check_task_names(cfg.get('task_names') or list(plain), plain)
    tasks = {name: task for name, task in plain.items() if name in wanted}
    aux = [name for name in check_task_names(cfg.get('aux_tasks') or [], plain) if name in tasks]
    main = [name for name in tasks if name not in aux]
    evaluated = check_task_names(cfg.get('eval_tasks') or main, tasks)

    _bind_model(cfg, tasks, aux, evaluated, _groups(cfg, tasks))
    for split in _SPLITS:
        for dataset in leaf_datasets(cfg.get(f'{split}_dataloader')):
            _check_label_names(dataset.get('labels') or {}, plain, split)
            dataset['metainfo'] = {**dataset.get('metainfo', {}), 'tasks': deepcopy(tasks)}
        _bind_evaluator(cfg.get(f'{split}_evaluator'), tasks, evaluated)
    return cfg


def _groups(cfg: Config, tasks: dict) -> list[str]:
    """Groups of auxiliary predictions that a metric looks at."""
    metrics = [task.get('metric') or {} for task in tasks.values()]
    for split in _SPLITS:
        more = cfg.get(f'{split}_evaluator') or []
        more = (more.get('metrics') or []) if isinstance(more, dict) else more
        metrics += [more] if isinstance(more, dict) else [metric for metric in more if isinstance(metric, dict)]
    return sorted({metric['output'] for metric in metrics if metric.get('output')})


def _drop_left_over_delete(value) -> None:
    """Take out every ``_delete_``: mmengine leaves it where nothing was inherited that could be deleted."""
    if isinstance(value, dict):
        if 'tasks' not in value:
            value.pop('_delete_', None)
        for key in list(value):
            if key != 'tasks':
                _drop_left_over_delete(value[key])
    elif isinstance(value, (list, tuple)):
        for item in value:
            _drop_left_over_delete(item)


def _bind_model(cfg: Config, tasks: dict, aux: list, evaluated: list, groups: list) -> None:
    model = cfg.get('model')
    if model is None:
        return
    model = model.get('module') or model  # inside a wrapper for test-time augmentation
    model['tasks'] = deepcopy(tasks)
    model['aux_tasks'] = list(aux)
    model['test_cfg'] = {**(model.get('test_cfg') or {}), 'tasks': list(evaluated)}
    if groups:
        model['test_cfg']['groups'] = groups


def leaf_datasets(loader):
    """Every leaf data set of a dataloader config, through wrappers such as RepeatDataset and ConcatDataset."""
    pending = [loader.get('dataset')] if isinstance(loader, dict) else []
    while pending:
        dataset = pending.pop()
        if not isinstance(dataset, dict):  # none, or a mistake that the check of the config names
            continue
        inner = dataset.get('datasets', [dataset['dataset']] if 'dataset' in dataset else [])
        if inner:
            pending.extend(inner)
        else:
            yield dataset


def _check_label_names(labels, tasks: dict, split: str) -> None:
    """A misspelt entry would leave its task without labels. Entries of tasks that were taken out do no harm."""
    unlabelled = [name for name in tasks if name not in labels]
    for entry in labels:
        meant = [] if entry in tasks else get_close_matches(entry, unlabelled, n=1, cutoff=0.75)
        if meant:
            raise ValueError(
                f"`labels` of the {split} data set has an entry '{entry}', but `tasks` defines no such task. "
                f"Did you mean '{meant[0]}'?"
            )


def _bind_evaluator(evaluator, tasks: dict, evaluated: list) -> None:
    if not isinstance(evaluator, dict) or not _takes_tasks(evaluator.get('type')):
        return
    definitions = TaskSet(tasks).subset(evaluated)
    evaluator['tasks'] = {name: deepcopy(tasks[name]) for name in definitions}
    # mmengine's runner takes a dict for an evaluator, and not for a single metric, by this key.
    evaluator.setdefault('metrics', [])


def _takes_tasks(kind) -> bool:
    """Whether evaluators of this type have an argument ``tasks``: ours, what derives from it, and others like it."""
    cls = EVALUATOR.get(kind) if isinstance(kind, str) else kind
    return isinstance(cls, type) and 'tasks' in inspect.signature(cls).parameters
