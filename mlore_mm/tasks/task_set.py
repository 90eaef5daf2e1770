"""An ordered set of tasks, built once from plain dicts and handed around."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import MISSING, fields

from mlore_mm.registry import TASKS
from mlore_mm.tasks.base import Task
from mlore_mm.utils.accepted_keys import accepted_keys, closest, unknown_keys
from mlore_mm.utils.value_forms import wrong_form


class TaskSet(Mapping):
    """Ordered mapping from a task's name to its :class:`Task`.

    Args:
        tasks: Name to a config dict (``dict(type='Depth', ...)``) or to a built Task. The order is the model's order.
        aux: Names among them that are supervised, but neither predicted nor evaluated.

    Raises:
        ValueError: No task, an entry without a known ``type``, or an unknown name in ``aux``.
    """

    def __init__(self, tasks: Mapping, aux: Iterable[str] = ()) -> None:
        if not tasks:
            raise ValueError('At least one task is needed, but `tasks` is empty. Check `tasks` and `task_names`.')
        for name in tasks:
            check_task_name(name)
        self._tasks = {name: _build(name, task, tasks) for name, task in tasks.items()}
        named = check_task_names(aux, self._tasks)
        self.aux = tuple(name for name in self._tasks if name in named)
        self.main = tuple(name for name in self._tasks if name not in named)

    def __getitem__(self, name: str) -> Task:
        if name not in self._tasks:
            raise KeyError(f"Unknown task '{name}'; the tasks here are {list(self._tasks)}.")
        return self._tasks[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._tasks)

    def __len__(self) -> int:
        return len(self._tasks)

    def __repr__(self) -> str:
        return f'TaskSet({list(self._tasks)})'

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._tasks)

    def subset(self, names: Iterable[str]) -> 'TaskSet':
        """The named tasks, in this set's order whatever the order of ``names``."""
        names = check_task_names(names, self._tasks)
        return TaskSet(
            {name: task for name, task in self._tasks.items() if name in names},
            [name for name in self.aux if name in names],
        )

    def to_config(self) -> dict[str, dict]:
        """Plain dicts that rebuild this set."""
        return {name: task.to_config() for name, task in self._tasks.items()}


def check_task_name(name) -> None:
    """
    Raises:
        ValueError: The name is none for files and modules: other signs than letters, digits, ``_`` and ``-``.
    """
    if not isinstance(name, str) or not re.fullmatch(r'[\w-]{1,100}', name):
        raise ValueError(f'Names of tasks are made of letters, digits, _ and -, but got {name!r}.')


def check_task_names(names: Iterable[str], known: Iterable[str]) -> list[str]:
    """``names`` as a list, each one known and none twice.

    Raises:
        ValueError: Naming the unknown or doubled tasks and the known ones.
    """
    names, known = [names] if isinstance(names, str) else list(names), list(known)
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ValueError(f'Unknown task {unknown}: known here are {known}. Check `task_names` or the option --tasks.')
    if len(set(names)) < len(names):
        raise ValueError(f'Every task may be named once, but got {names}.')
    return names


def _build(name: str, task, others: Iterable[str]) -> Task:
    if isinstance(task, Task):
        return task
    if not isinstance(task, Mapping):
        raise ValueError(f"tasks.{name} is {task!r}, expected the settings of a task such as dict(type='Depth').")
    config = dict(task)
    if 'type' not in config:
        meant = closest(name, [x for x in others if x != name])
        raise ValueError(
            f'tasks.{name} has no `type`, so no task can be made of {config}. '
            + (f"Did you mean 'tasks.{meant}'?" if meant else f'Give it one of {sorted(TASKS.module_dict)}.')
        )
    if not isinstance(config.get('type'), str) or config['type'] not in TASKS:
        meant = closest(str(config.get('type')), TASKS.module_dict)
        raise ValueError(
            f"Task '{name}' has type {config.get('type')!r}, which is not a known kind of task. "
            f'{f"Did you mean {meant!r}? " if meant else ""}'
            f'Known kinds: {sorted(TASKS.module_dict)}. A new kind is one file in mlore_mm/tasks or your own package.'
        )
    config.pop('name', None)
    config.pop('_delete_', None)  # left over where nothing was inherited
    _check_settings(name, config)
    _lay_over_defaults(config)
    return TASKS.build(dict(name=name, **config))


def _lay_over_defaults(config: dict) -> None:
    """Options of ``loss`` and ``metric`` go over those of the class, unless they name another type or ``_delete_``."""
    for f in fields(TASKS.get(config['type'])):
        given = config.get(f.name)
        if f.name not in ('loss', 'metric') or not isinstance(given, dict) or f.default_factory is MISSING:
            continue
        given, default = dict(given), f.default_factory()
        alone = given.pop('_delete_', False) or given.get('type', default.get('type')) != default.get('type')
        config[f.name] = given if alone or not given else {**default, **given}


def _check_settings(name: str, config: dict) -> None:
    accepted = accepted_keys(TASKS.get(config['type']))
    for key, hint in unknown_keys(config, accepted, ('type',)).items():
        raise ValueError(f'tasks.{name}.{key}: {config["type"]} takes no {key!r}. {hint}')
    for key, value in config.items():
        wrong = wrong_form(value, accepted.names.get(key))
        if wrong:
            raise ValueError(f'tasks.{name}.{key} {wrong}.')
