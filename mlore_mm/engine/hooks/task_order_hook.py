"""Keeps a checkpoint and the model it is loaded into on the same tasks, classes and units."""

from collections.abc import Mapping, Sequence

from mmengine.hooks import Hook
from mmengine.logging import print_log

from mlore_mm.registry import HOOKS
from mlore_mm.tasks import Task


@HOOKS.register_module()
class TaskOrderHook(Hook):
    """Stores the ordered task names in every checkpoint and refuses one that was trained on other tasks.

    mmengine loads weights leniently: of a checkpoint with other tasks it would take what fits and leave the rest as
    initialised, and a model would be tested that was never trained. A checkpoint without the list, such as one
    converted from elsewhere, is taken as it is.

    A task whose classes are the same in another order is refused as well: each number would mean another class. Other
    names of classes, and another unit, are warned about.

    Args:
        tasks: The tasks of the model, in its order; definitions by name, or names alone.

    Raises:
        ValueError: A checkpoint of another set or order of tasks or classes is loaded.
    """

    priority = 'VERY_LOW'

    def __init__(self, tasks: Mapping[str, Task] | Sequence[str]) -> None:
        self.task_names = list(tasks)
        self.tasks = dict(tasks) if isinstance(tasks, Mapping) else {}

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        checkpoint.setdefault('meta', {})['tasks'] = list(self.task_names)

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        meta = checkpoint.get('meta') or {}
        self._compare_tasks(meta.get('tasks'))
        dataset_meta = meta.get('dataset_meta')
        stored = dataset_meta.get('tasks') if isinstance(dataset_meta, dict) else None
        for name, task in self.tasks.items():
            if isinstance(stored, dict) and isinstance(stored.get(name), dict):
                _compare_task(name, task, stored[name])

    def _compare_tasks(self, stored: Sequence[str] | None) -> None:
        if stored is None or list(stored) == self.task_names:
            return
        kind = 'another order' if sorted(stored) == sorted(self.task_names) else 'other tasks'
        raise ValueError(
            f'The checkpoint was trained on {kind}: it has {list(stored)}, the model of this config has '
            f'{self.task_names}. Give `tasks` and `task_names` the order of the checkpoint. To test some tasks of a '
            f'trained model use `eval_tasks` (--tasks of tools/test.py); to start other tasks from these weights use '
            f"model.init_cfg=dict(type='Pretrained', checkpoint=...)."
        )


def _compare_task(name: str, task: Task, stored: dict) -> None:
    theirs, ours = _texts(stored.get('classes')), _texts(task.classes)
    if theirs and ours and theirs != ours:
        shorter = min(len(theirs), len(ours))
        first = next((i for i in range(shorter) if theirs[i] != ours[i]), shorter)
        told = f"class {first} is '{_at(theirs, first)}' there and '{_at(ours, first)}' here"
        if sorted(theirs) == sorted(ours):
            raise ValueError(
                f"The checkpoint was trained with the classes of '{name}' in another order: {told}. Give "
                f'tasks.{name}.classes the order of the checkpoint, with labels to match.'
            )
        _warn(f"The checkpoint was trained with other classes of '{name}': {told}.")
    unit, own = stored.get('unit'), getattr(task, 'unit', None)
    if isinstance(unit, str) and unit and own and unit != own:
        _warn(f"The checkpoint was trained with '{name}' in '{unit}', this config says '{own}'.")


def _texts(classes) -> list[str]:
    return [str(x) for x in classes] if isinstance(classes, (list, tuple)) else []


def _at(names: list[str], index: int) -> str:
    return names[index] if index < len(names) else 'missing'


def _warn(message: str) -> None:
    print_log(f'{message} Predictions mean what they meant in training.', 'current', 30)
