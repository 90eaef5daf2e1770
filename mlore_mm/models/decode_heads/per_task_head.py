"""One ordinary decoder per task, each with features of its own."""

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from mlore_mm.models.decode_heads.base import MultiTaskHead
from mlore_mm.models.features import Features
from mlore_mm.models.output import MultiTaskOutput
from mlore_mm.registry import MODELS, class_of
from mlore_mm.tasks import TaskSet


@MODELS.register_module()
class PerTaskHead(MultiTaskHead):
    """Holds a decoder of any registered kind for every task: ``head(levels) -> logits (B, C_t, h, w)``.

    ``out_channels`` is the task's. Heads of mmsegmentation (``mmseg.ASPPHead``, ``mmseg.UPerHead``) are built with
    ``num_classes`` instead, and get ``in_index`` where they choose levels themselves.

    Args:
        tasks: The model's tasks in order; the segmentor hands them in.
        in_channels: Channels of the used levels.
        head: Config of a decoder, for every task.
        heads: Task to what differs in its decoder's config.
        in_index: Levels taken from the encoder.
        reference_level: See :class:`MultiTaskHead`.
        init_cfg: As in mmengine.

    Raises:
        ValueError: ``heads`` names an unknown task.
    """

    auxiliary_groups = ()

    def __init__(
        self,
        tasks: TaskSet | Mapping,
        in_channels: Sequence[int],
        head: Mapping,
        heads: Mapping[str, Mapping] | None = None,
        in_index: Sequence[int] | None = None,
        reference_level: int = 0,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(tasks, in_channels, in_index, reference_level, init_cfg)
        unknown = [name for name in heads or {} if name not in self.tasks]
        if unknown:
            raise ValueError(f'`heads` of PerTaskHead names the tasks {unknown}, but there are {list(self.tasks)}.')
        self.heads = nn.ModuleDict(
            {
                name: _build({**head, **(heads or {}).get(name, {})}, task.out_channels)
                for name, task in self.tasks.items()
            }
        )

    def forward(self, feats: Features, tasks: Sequence[str] | None = None) -> MultiTaskOutput:
        """Levels (B, C_l, h_l, w_l), shared or per task, to logits (B, C_t, h, w) per task."""
        feats = Features.wrap(feats)
        return MultiTaskOutput({name: self._run(name, feats) for name in self.active_tasks(tasks)})

    def _run(self, name: str, feats: Features) -> Tensor:
        return self.heads[name](self.select(feats, name))


def _build(config: dict, out_channels: int) -> nn.Module:
    cls = class_of(config)
    if cls is not None and cls.__module__.startswith('mmseg.'):
        return MODELS.build({'num_classes': out_channels, 'loss_decode': [], **config, 'out_channels': out_channels})
    return MODELS.build({**config, 'out_channels': out_channels})
