"""The TaskPrompter decoder."""

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from mlore_mm.models.decode_heads.base import MultiTaskHead
from mlore_mm.models.features import Features
from mlore_mm.models.layers import AffinityDecoder, PredictionHead
from mlore_mm.models.output import MultiTaskOutput
from mlore_mm.registry import MODELS
from mlore_mm.tasks import TaskSet

EXTRAS = ('spatial_affinity', 'channel_affinity')


@MODELS.register_module()
class TaskPrompterHead(MultiTaskHead):
    """Patches at several depths, weighted by each task's prompt, added up and predicted at stride 4.

    It needs an encoder with prompts, such as :class:`TaskPrompterViT`, which returns levels and affinities.
    Source: TaskPrompter (Ye and Xu, ICLR 2023).

    Args:
        tasks: The model's tasks in order; the segmentor hands them in.
        in_channels: Channels of the levels, which share one grid.
        embed_dims: Channels of the patches weighted by pixel, and of those weighted by channel.
        final_dims: Channels of a task's features.
        num_heads: Heads of the encoder's attention.
        cross_task: A task's features are a weighted sum of all tasks' (published for PASCAL-Context) or its own.
        scale: Upsampling before the last layers; 4 brings stride 16 to stride 4.
        with_cp: In training, compute the large maps of the last layers twice instead of keeping them.
        in_index: Levels taken from the backbone.
        init_cfg: As in mmengine.
    """

    auxiliary_groups = ()

    def __init__(
        self,
        tasks: TaskSet | Mapping,
        in_channels: Sequence[int],
        embed_dims: int,
        final_dims: int,
        num_heads: int,
        cross_task: bool = False,
        scale: int = 4,
        with_cp: bool = False,
        in_index: Sequence[int] | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(tasks, in_channels, in_index, init_cfg=init_cfg)
        names = list(self.tasks.names)
        self.levels = nn.ModuleList(
            AffinityDecoder(names, channels, embed_dims, final_dims, num_heads, cross_task)
            for channels in self.in_channels
        )
        self.heads = nn.ModuleDict(
            {name: PredictionHead(final_dims, task.out_channels, scale, with_cp) for name, task in self.tasks.items()}
        )

    def forward(self, feats: Features, tasks: Sequence[str] | None = None) -> MultiTaskOutput:
        """Levels (B, C, h, w) and affinities to logits (B, C_t, scale * h, scale * w) of each task."""
        feats, tasks = Features.wrap(feats), self.active_tasks(tasks)
        sums: dict[str, Tensor] = {}
        for decoder, x, spatial, channel in zip(self.levels, self.select(feats), *self._affinities(feats), strict=True):
            for task, features in decoder(x, spatial, channel, tasks).items():
                sums[task] = sums[task] + features if task in sums else features
        return MultiTaskOutput(logits={task: self.heads[task](sums[task]) for task in tasks})

    def _affinities(self, feats: Features) -> list[list[Tensor]]:
        missing = [name for name in EXTRAS if name not in feats.extras]
        if missing:
            raise ValueError(
                f'TaskPrompterHead needs {missing} of the encoder, which has {sorted(feats.extras)} to say. Take '
                "backbone=dict(type='TaskPrompterViT', ...)."
            )
        return [[feats.extras[name][i] for i in self.in_index] for name in EXTRAS]
