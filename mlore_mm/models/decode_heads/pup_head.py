"""The decoder of M3ViT: one for each task, which may help each other in training."""

from collections.abc import Iterable, Sequence

from torch import nn

from mlore_mm.models.decode_heads.base import MultiTaskHead
from mlore_mm.models.features import Features
from mlore_mm.models.layers.pup_decoder import PUPDecoder
from mlore_mm.models.layers.task_attention import TaskAttention
from mlore_mm.models.output import MultiTaskOutput
from mlore_mm.registry import MODELS
from mlore_mm.tasks import PUBLISHED_ORDER


@MODELS.register_module()
class PUPHead(MultiTaskHead):
    """A progressive upsampling decoder per task on one map of stride 16, and task attention at some of its levels.

    Prediction takes one decoder per task and nothing else. In training every level with task attention adds the group
    ``tam_level<j>`` of extra predictions, which have to be named in the criterion's ``auxiliary``; the features of all
    tasks are needed then, also for the loss of one.
    Source: M3ViT (Liang et al., NeurIPS 2022).

    Args:
        tasks: The model's tasks in order; the segmentor hands them in.
        in_channels: Of the encoder's map.
        embed_dims: c, width of the convolutions; published: 256.
        tam_levels: Levels 0, 1, 2 with task attention, on maps of 2, 4, 8 times the encoder's grid; published: all on
            NYUD-v2, 0 and 1 (ViT-S) or 0 (ViT-B) on PASCAL-Context.
        in_index: Level taken from the backbone.
        task_order: Order in which task attention joins the tasks, as in :class:`CrossTaskHead`.
        init_cfg: As in mmengine.
        aux_tasks: Names of tasks that are supervised and not predicted.

    Raises:
        ValueError: A level that there is not.
    """

    def __init__(
        self,
        tasks,
        in_channels: int | Sequence[int],
        embed_dims: int = 256,
        tam_levels: Sequence[int] = (),
        in_index: Sequence[int] | None = None,
        task_order: Iterable[str] = PUBLISHED_ORDER,
        init_cfg: dict | None = None,
        aux_tasks: Sequence[str] | None = None,
    ) -> None:
        super().__init__(tasks, in_channels, in_index, init_cfg=init_cfg, aux_tasks=aux_tasks)
        if set(tam_levels) - {0, 1, 2}:
            raise ValueError(f'tam_levels are among 0, 1 and 2, but got {list(tam_levels)}.')
        (width,) = self.in_channels
        self.decoders = nn.ModuleDict(
            {name: PUPDecoder(width, embed_dims, task.out_channels) for name, task in self.tasks.items()}
        )
        named = [name for name in task_order if name in self.tasks]
        order = [*named, *(name for name in self.tasks if name not in named)]
        outputs = {name: self.tasks[name].out_channels for name in order}
        self.attention = nn.ModuleDict({str(level): TaskAttention(outputs, embed_dims) for level in tam_levels})
        self.auxiliary_groups = tuple(f'tam_level{level}' for level in self.attention)

    def _groups(self) -> dict[str, str]:
        """Group of extra predictions to its level, those that this pass computes."""
        groups = {f'tam_level{level}': level for level in self.attention}
        return {group: level for group, level in groups.items() if self.wants_auxiliary(group)}

    def required_tasks(self, tasks: Sequence[str]) -> list[str]:
        """The named ones; all where task attention is at work."""
        return list(self.tasks.names) if self._groups() else self.active_tasks(tasks)

    def keep_task(self, task: str) -> dict:
        """See :meth:`MultiTaskHead.keep_task`; there is nobody left to attend to."""
        self.attention.clear()
        self.auxiliary_groups = ()
        super().keep_task(task)
        return dict(tam_levels=())

    def forward(self, feats: Features, tasks: Sequence[str] | None = None) -> MultiTaskOutput:
        """A map (B, C, h, w), shared or per task, to logits (B, C_t, 16h, 16w)."""
        active, needed = self.active_tasks(tasks), self.required_tasks(tasks)
        feats = Features.wrap(feats)
        done = {name: self.decoders[name](*self.select(feats, name)) for name in needed}
        auxiliary = {}
        for group, level in self._groups().items():
            features = {name: maps[int(level) + 1] for name, (_, maps) in done.items()}
            auxiliary[group] = self.attention[level](features, active)
        return MultiTaskOutput({name: done[name][0] for name in active}, auxiliary)
