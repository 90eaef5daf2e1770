"""Keeps a checkpoint and the model it is loaded into on the same tasks."""

from mmengine.hooks import Hook

from mlore_mm.registry import HOOKS


@HOOKS.register_module()
class TaskOrderHook(Hook):
    """Stores the ordered task names in every checkpoint and refuses one that was trained on other tasks.

    mmengine loads weights leniently: of a checkpoint with other tasks it would take what fits and leave the rest as
    initialised, and a model would be tested that was never trained. A checkpoint without the list, such as one
    converted from elsewhere, is taken as it is.

    Args:
        task_names: The tasks of the model, in its order.

    Raises:
        ValueError: A checkpoint of another set or order of tasks is loaded.
    """

    priority = 'VERY_LOW'

    def __init__(self, task_names: list[str]) -> None:
        self.task_names = list(task_names)

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        checkpoint.setdefault('meta', {})['tasks'] = list(self.task_names)

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        stored = checkpoint.get('meta', {}).get('tasks')
        if stored is None or list(stored) == self.task_names:
            return
        kind = 'another order' if sorted(stored) == sorted(self.task_names) else 'other tasks'
        raise ValueError(
            f'The checkpoint was trained on {kind}: it has {list(stored)}, the model of this config has '
            f'{self.task_names}. Give `tasks` and `task_names` the order of the checkpoint. To test some tasks of a '
            f'trained model use `eval_tasks` (--tasks of tools/test.py); to start other tasks from these weights use '
            f"model.init_cfg=dict(type='Pretrained', checkpoint=...)."
        )
