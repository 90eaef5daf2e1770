"""What every multi-task decoder shares: which features it takes, for which tasks, and what it needs for them."""

from collections.abc import Mapping, Sequence

import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor

from mlore_mm.models.features import Features
from mlore_mm.models.layers.task_modules import drop_names
from mlore_mm.tasks import TaskSet, check_task_names


class MultiTaskHead(BaseModule):
    """Base of the decoders. ``forward(feats, tasks)`` takes :class:`Features` and returns a :class:`MultiTaskOutput`.

    A decoder in which tasks look at each other says so in :meth:`required_tasks`; the segmentor then has the encoder
    compute the features of those tasks as well. Groups of auxiliary logits are computed where
    :meth:`wants_auxiliary` says so: in training, and in evaluation where a metric looks at them.

    Args:
        tasks: The model's tasks in order; the segmentor hands them in. ``tasks.aux`` are those that are supervised and
            not predicted.
        in_channels: Channels of the used levels.
        in_index: Indices of the used levels in the backbone's output; all of them by default.
        reference_level: Position within ``in_index`` of the level whose grid all levels are brought to. With strides
            4, 8, 16, 32 and 2 the decoder works at stride 16.
        aux_tasks: Names of the auxiliary tasks, where ``tasks`` does not know them.
        init_cfg: As in mmengine.

    Raises:
        ValueError: ``in_channels`` and ``in_index`` disagree, or ``reference_level`` is not one of the levels.
    """

    # Names of the groups of auxiliary logits that there are; None where a head does not say.
    auxiliary_groups: tuple[str, ...] | None = None

    def __init__(
        self,
        tasks: TaskSet | Mapping,
        in_channels: Sequence[int],
        in_index: Sequence[int] | None = None,
        reference_level: int = 0,
        init_cfg: dict | None = None,
        aux_tasks: Sequence[str] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        tasks = tasks if isinstance(tasks, TaskSet) else TaskSet(tasks)
        self.tasks = TaskSet(tasks, aux_tasks) if aux_tasks else tasks
        self.evaluated_groups: frozenset[str] = frozenset()
        self.in_channels = [in_channels] if isinstance(in_channels, int) else list(in_channels)
        self.in_index = list(range(len(self.in_channels))) if in_index is None else list(in_index)
        if len(self.in_index) != len(self.in_channels):
            raise ValueError(
                f'The decode head got in_channels={self.in_channels} for in_index={self.in_index}: '
                'give one number of channels per used level.'
            )
        if not 0 <= reference_level < len(self.in_index):
            raise ValueError(f'reference_level={reference_level} is not one of the {len(self.in_index)} used levels.')
        self.reference_level = reference_level

    @property
    def main_tasks(self) -> list[str]:
        """Names of the tasks that are predicted."""
        return list(self.tasks.main)

    @property
    def aux_tasks(self) -> list[str]:
        """Names of the tasks that are supervised and not predicted."""
        return list(self.tasks.aux)

    def required_tasks(self, tasks: Sequence[str]) -> list[str]:
        """The tasks whose features are needed to compute ``tasks``, in the model's order. Here: the same ones."""
        return self.active_tasks(tasks)

    def wants_auxiliary(self, group: str) -> bool:
        """Whether the named group of auxiliary logits is to be computed in this pass."""
        return self.training or group in self.evaluated_groups

    def active_tasks(self, tasks: Sequence[str] | None) -> list[str]:
        """The wanted tasks in the model's order, all of them for None."""
        if tasks is None:
            return list(self.tasks.names)  # plain, since the compiler of PyTorch 2.6 cannot iterate over a TaskSet
        wanted = check_task_names(tasks, self.tasks.names)
        return [name for name in self.tasks.names if name in wanted]

    def keep_task(self, task: str) -> dict:
        """Let go, in place, of what serves other tasks, and return the options of the constructor that change with it.

        Modules and parameters that are stored under the names of other tasks go. A head with more to cut extends this.
        """
        drop_names(self, [name for name in self.tasks.names if name != task])
        self.tasks = self.tasks.subset([task])
        return {}

    def select(self, feats: Features | Sequence[Tensor], task: str | None = None) -> list[Tensor]:
        """The used levels, with a check that the backbone gives what was configured.

        Args:
            feats: What the encoder returned, or levels.
            task: Whose levels; the shared ones by default.

        Raises:
            ValueError: A level is missing or has another number of channels, or tasks do not share levels and none is
                named.
        """
        feats = Features.wrap(feats)
        if task is None and not feats.shared:
            raise ValueError(
                f'{type(self).__name__} needs features that the tasks share, but this encoder gives every task its '
                'own. Use another head, or an encoder that is called once.'
            )
        feats = feats.shared if task is None else feats.of(task)
        if max(self.in_index) >= len(feats):
            raise ValueError(
                f'The decode head uses levels in_index={self.in_index}, but the backbone returns {len(feats)}.'
            )
        levels = [feats[i] for i in self.in_index]
        found = [level.shape[1] for level in levels]
        if found != self.in_channels:
            raise ValueError(
                f'The decode head expects in_channels={self.in_channels}, but the backbone returns {found} '
                f'at in_index={self.in_index}. Set decode_head.in_channels to the latter.'
            )
        return levels

    def to_reference(self, levels: Sequence[Tensor]) -> list[Tensor]:
        """All levels on the grid of the reference level (bilinear)."""
        size = levels[self.reference_level].shape[-2:]
        return [
            x if x.shape[-2:] == size else F.interpolate(x, size=size, mode='bilinear', align_corners=False)
            for x in levels
        ]
