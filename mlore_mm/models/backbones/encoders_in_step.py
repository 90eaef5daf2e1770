"""An encoder per task, all of them stage by stage, with an exchange after stages."""

from collections.abc import Iterable, Mapping, Sequence

from mmengine.model import BaseModule
from torch import Tensor, nn

from mlore_mm.models.features import Features
from mlore_mm.registry import MODELS, class_of
from mlore_mm.tasks import in_order


@MODELS.register_module()
class EncodersInStep(BaseModule):
    """T encoders of one kind; after a stage the tasks' features are exchanged. Cross-stitch networks and NDDR-CNN.

    A subset of tasks costs all encoders, since every one is a source of every other, and the last exchange of the
    subset only; its features are those of the full run.

    Args:
        encoder: Config of an encoder with ``stage_channels``, a dict of the names of its stages, which are called one
            after the other, to their channels: :class:`DilatedResNet`.
        exchange: Config of what follows a stage, called as ``exchange(features, tasks)``: :class:`CrossStitch` or
            :class:`NDDR`. Its class says after which ``stages``.
        tasks: The model's tasks in order; the segmentor hands them in.
        task_order: Names in the order in which tasks are joined, which is part of a checkpoint; published by default.
        init_cfg: As in mmengine.
    """

    call_mode = 'owner'
    needs_tasks = True

    def __init__(
        self,
        encoder: Mapping,
        exchange: Mapping,
        tasks: Mapping,
        task_order: Iterable[str] | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.order = in_order(tasks, task_order)
        self.encoders = nn.ModuleDict({task: MODELS.build(dict(encoder)) for task in self.order})
        channels = self.encoders[self.order[0]].stage_channels
        stages = class_of(exchange).stages
        self.exchange = nn.ModuleDict(
            {s: MODELS.build(dict(exchange, tasks=self.order, channels=n)) for s, n in channels.items() if s in stages}
        )
        self.stages = list(channels)

    def forward(self, x: Tensor, tasks: Sequence[str]) -> Features:
        """Images (B, 3, H, W) to the last stage's map of each named task."""
        features = dict.fromkeys(self.order, x)
        for stage in self.stages:
            features = {task: getattr(self.encoders[task], stage)(features[task]) for task in self.order}
            if stage in self.exchange:
                features = self.exchange[stage](features, tasks if stage == self.stages[-1] else self.order)
        return Features(per_task={task: (features[task],) for task in tasks})
