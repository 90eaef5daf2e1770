"""How groups of auxiliary logits are supervised."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from mlore_mm.tasks import TaskSet, check_task_names
from mlore_mm.utils.accepted_keys import closest


@dataclass(frozen=True)
class LossContext:
    """What a loss may look at beyond its own task: the other labels, and what is known of each image.

    A loss whose ``forward`` has an argument ``context`` gets it.

    Args:
        targets: Raw label (B, C, H, W) by task.
        metas: Meta information of each image of the batch, such as ``intrinsics``.
    """

    targets: Mapping[str, Tensor] = field(default_factory=dict)
    metas: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True)
class AuxiliaryGroup:
    """How one group of auxiliary logits enters the loss.

    Args:
        weight: Factor, on top of ``loss_weight`` of each task.
        combine: 'add' adds the group's losses to the final ones. 'mean' takes the mean over the final logits and all
            groups with 'mean' that hold the task, as networks do that predict at several scales alike.
        align_corners: How logits are resized to the label.
        tasks: 'all' tasks that the group holds, only the 'main' ones, or names.
    """

    weight: float = 1.0
    combine: str = 'add'
    align_corners: bool = False
    tasks: str | tuple[str, ...] = 'all'

    @classmethod
    def of(cls, config: 'float | Mapping | AuxiliaryGroup', name: str) -> 'AuxiliaryGroup':
        """From a config; a plain number is the weight.

        Raises:
            ValueError: An unknown option or value.
        """
        if isinstance(config, AuxiliaryGroup):
            return config
        options = dict(config) if isinstance(config, Mapping) else dict(weight=config)
        unknown = sorted(set(options) - set(cls.__dataclass_fields__))
        if unknown:
            meant = closest(str(unknown[0]), cls.__dataclass_fields__)
            raise ValueError(
                f"The auxiliary group '{name}' of the criterion has the options {unknown}; known are "
                f'{list(cls.__dataclass_fields__)}.' + (f' Did you mean {meant!r}?' if meant else '')
            )
        weight = options.get('weight', 1.0)
        if isinstance(weight, bool) or not isinstance(weight, (int, float)) or not weight >= 0:
            raise ValueError(f"The auxiliary group '{name}': weight is a number of 0 or more, but got {weight!r}.")
        if isinstance(options.get('tasks'), list):
            options['tasks'] = tuple(options['tasks'])
        group = cls(**options)
        if group.combine not in ('add', 'mean'):
            raise ValueError(f"The auxiliary group '{name}': combine is 'add' or 'mean', but got {group.combine!r}.")
        return group

    def supervised(self, tasks: TaskSet) -> tuple[str, ...]:
        """Names of the tasks whose logits in this group are supervised."""
        if self.tasks in ('all', 'main'):
            return tasks.main if self.tasks == 'main' else tasks.names
        return tuple(check_task_names(self.tasks, tasks.names))


def check_groups(criterion: nn.Module, head: nn.Module) -> None:
    """
    Raises:
        ValueError: The criterion gives weight to a group of auxiliary logits that the head does not make.
    """
    made = getattr(head, 'auxiliary_groups', None)
    for group in getattr(criterion, 'groups', ()) if made is not None else ():
        if group not in made:
            meant = closest(group, made)
            hint = f'Did you mean {meant!r}?' if meant else f'It makes {", ".join(made) or "none"}.'
            raise ValueError(
                f"criterion.auxiliary names the group '{group}', but {type(head).__name__} makes no such auxiliary "
                f'logits, so it would do nothing. {hint}'
            )
