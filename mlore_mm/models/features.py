"""What an encoder hands to a decoder."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Union

from torch import Tensor

Levels = tuple[Tensor, ...]


@dataclass(frozen=True)
class Features:
    """Levels that all tasks share, levels of single tasks, and whatever else an encoder has to say.

    A level is a map (B, C, h, w); levels go from fine to coarse. A task that has levels of its own uses those, any
    other one the shared levels.

    Args:
        shared: Levels for every task without its own.
        per_task: Task to its own levels.
        extras: Anything a decoder may ask for by name, such as attention maps or prompts.
    """

    shared: Levels = ()
    per_task: Mapping[str, Levels] = field(default_factory=dict)
    extras: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def wrap(cls, value: Union['Features', Tensor, Sequence[Tensor], Mapping[str, Sequence[Tensor]]]) -> 'Features':
        """What backbones return, as Features: one map or several are shared, a mapping is by task.

        Raises:
            ValueError: Anything else.
        """
        if isinstance(value, Features):
            return value
        if isinstance(value, Tensor):
            return cls(shared=(value,))
        if isinstance(value, Mapping):
            return cls(per_task={task: _levels(levels) for task, levels in value.items()})
        return cls(shared=_levels(value))

    @property
    def is_shared(self) -> bool:
        """Whether no task has levels of its own."""
        return not self.per_task

    def of(self, task: str) -> Levels:
        """The levels that a task uses.

        Raises:
            ValueError: There are none.
        """
        levels = self.per_task.get(task, self.shared)
        if not levels:
            raise ValueError(
                f"The encoder was not asked for features of the task '{task}', only for {list(self.per_task)}. A head "
                "that looks at other tasks' features names them in `required_tasks`."
            )
        return levels

    def tensors(self) -> list[Tensor]:
        """Every level, shared ones first."""
        return [*self.shared, *(level for levels in self.per_task.values() for level in levels)]

    def map(self, function: Callable[[Levels], Sequence[Tensor] | Tensor]) -> 'Features':
        """The same with ``function`` applied to each tuple of levels, as a neck is."""
        return replace(
            self,
            shared=_levels(function(self.shared)) if self.shared else (),
            per_task={task: _levels(function(levels)) for task, levels in self.per_task.items()},
        )


def _levels(value) -> Levels:
    levels = (value,) if isinstance(value, Tensor) else tuple(value)
    wrong = [type(level).__name__ for level in levels if not isinstance(level, Tensor)]
    if wrong or not levels:
        raise ValueError(
            f'Levels of features are maps (B, C, h, w), but the encoder returned {wrong or "none"}. Of a timm or '
            'mmpretrain model take the one with feature maps (out_indices, features_only) and not the classifier.'
        )
    return levels
