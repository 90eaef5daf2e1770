"""What decoders share in which every task reads every other one."""

from collections.abc import Iterable, Mapping, Sequence

from torch import Tensor

from mlore_mm.models.decode_heads.base import MultiTaskHead
from mlore_mm.models.features import Features
from mlore_mm.tasks import PUBLISHED_ORDER, in_order  # noqa: F401  (the order is imported from here as well)


class CrossTaskHead(MultiTaskHead):
    """Base of decoders whose initial predictions of all tasks, auxiliary ones too, feed the final ones.

    Every task has an initial prediction, so the auxiliary tasks always contain the predicted ones, as the method asks
    for. The initial ones are supervised in groups of auxiliary logits and exist in training only.

    Args:
        tasks: As in :class:`MultiTaskHead`.
        in_channels: As there, levels from fine to coarse.
        in_index: As there.
        task_order: Names in the order in which tasks are joined to one tensor: it is part of a checkpoint. By default
            the published one, whatever the order in a config; tasks that it does not name follow in the model's order.
        init_cfg: As in mmengine.

    Raises:
        ValueError: All tasks are auxiliary.
    """

    def __init__(
        self,
        tasks,
        in_channels: Sequence[int],
        in_index: Sequence[int] | None = None,
        task_order: Iterable[str] | None = None,
        init_cfg: dict | None = None,
        aux_tasks: Sequence[str] | None = None,
    ) -> None:
        super().__init__(tasks, in_channels, in_index, init_cfg=init_cfg, aux_tasks=aux_tasks)
        if not self.main_tasks:
            raise ValueError(
                f'{type(self).__name__} has nothing to predict: all of {list(self.tasks)} are in `aux_tasks`. Leave at '
                'least one task out of it; predicted tasks are supervised by an initial prediction as well.'
            )
        self.task_order = in_order(self.tasks, task_order)
        self.main_order = [name for name in self.task_order if name in self.main_tasks]

    @property
    def out_channels(self) -> dict[str, int]:
        """Channels of the logits of every task, in the order in which tasks are joined."""
        return {name: self.tasks[name].out_channels for name in self.task_order}

    def required_tasks(self, tasks: Sequence[str]) -> list[str]:
        """All tasks, since any of them is a source of any other."""
        return list(self.tasks.names)

    def wanted(self, tasks: Sequence[str] | None) -> tuple[list[str], list[str]]:
        """Of the named tasks, or all: those to predict, and those whose initial logits are wanted in training.

        Raises:
            ValueError: None is predicted, and nothing is trained.
        """
        active = self.active_tasks(tasks)
        main = [name for name in active if name in self.main_tasks]
        if not main and not self.training:
            raise ValueError(
                f'{active} are auxiliary tasks of {type(self).__name__}: they are supervised in training and not '
                f'predicted. It predicts {self.main_tasks}; to predict them as well take them out of `aux_tasks`.'
            )
        return main, active

    def per_task_levels(self, feats: Features) -> dict[str, list[Tensor]]:
        """The used levels of every task; the same tensors for all where the encoder shares them."""
        feats = Features.wrap(feats)
        if feats.is_shared:
            return dict.fromkeys(self.task_order, self.select(feats))
        return {task: self.select(feats, task) for task in self.task_order}


def once_per_input(function, inputs: Mapping[str, object]) -> dict[str, Tensor]:
    """``function`` of every task's input, computed once for inputs that are the same object."""
    done: dict[int, Tensor] = {}
    return {task: done[id(x)] if id(x) in done else done.setdefault(id(x), function(x)) for task, x in inputs.items()}
