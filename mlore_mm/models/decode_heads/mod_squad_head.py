"""The decoder that Mod-Squad was released with: one linear layer per task."""

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from mlore_mm.models.decode_heads.base import MultiTaskHead
from mlore_mm.models.features import Features
from mlore_mm.models.output import MultiTaskOutput
from mlore_mm.registry import MODELS
from mlore_mm.tasks import TaskSet


@MODELS.register_module()
class ModSquadHead(MultiTaskHead):
    """A norm that the tasks share, and per task a linear layer from each patch token to its pixels.

    Tasks of the whole image get a norm of the mean patch token instead, another one, and a linear layer.
    Source: Mod-Squad (Chen et al., CVPR 2023), released for Taskonomy; the decoders for PASCAL-Context were not.

    Args:
        tasks: The model's tasks in order; the segmentor hands them in.
        in_channels: d of the encoder.
        patch_size: Pixels per token side.
        image_tasks: Names of tasks with one output per image, (B, C, 1, 1).
        in_index: Level taken from the encoder, when it returns several.
        init_cfg: As in mmengine.
    """

    auxiliary_groups = ()

    def __init__(
        self,
        tasks: TaskSet | Mapping,
        in_channels: int,
        patch_size: int = 16,
        image_tasks: Sequence[str] = (),
        in_index: Sequence[int] | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(tasks, in_channels, in_index, init_cfg=init_cfg)
        unknown = [name for name in image_tasks if name not in self.tasks]
        if unknown:
            raise ValueError(
                f'`image_tasks` of ModSquadHead names the tasks {unknown}, but there are {list(self.tasks)}.'
            )
        self.patch_size = patch_size
        width = self.in_channels[0]
        self.norm = nn.LayerNorm(width, eps=1e-6) if len(image_tasks) < len(self.tasks) else None
        self.image_norm = nn.LayerNorm(width, eps=1e-6) if image_tasks else None
        self.image_norms = nn.ModuleDict({name: nn.LayerNorm(width, eps=1e-5) for name in image_tasks})
        self.predict = nn.ModuleDict(
            {
                name: nn.Linear(width, task.out_channels * (1 if name in image_tasks else patch_size**2))
                for name, task in self.tasks.items()
            }
        )
        for linear in self.predict.values():
            nn.init.trunc_normal_(linear.weight, std=0.02)
            nn.init.zeros_(linear.bias)

    def keep_task(self, task: str) -> dict:
        """See :meth:`MultiTaskHead.keep_task`."""
        if task in self.image_norms:
            self.norm = None
        else:
            self.image_norm = None
        super().keep_task(task)
        return dict(image_tasks=list(self.image_norms))

    def forward(self, feats: Features, tasks: Sequence[str] | None = None) -> MultiTaskOutput:
        """A level (B, d, h, w), shared or per task, to logits (B, C_t, H, W) per task, at full size."""
        feats = Features.wrap(feats)
        return MultiTaskOutput(
            {name: self._run(name, self.select(feats, name)[0]) for name in self.active_tasks(tasks)}
        )

    def _run(self, name: str, x: Tensor) -> Tensor:
        if name in self.image_norms:
            mean = self.image_norms[name](self.image_norm(x.flatten(2).mean(dim=2)))
            return self.predict[name](mean)[..., None, None]
        patches = self.predict[name](self.norm(x.permute(0, 2, 3, 1)))  # row, column, channel of a patch in that order
        pixels = patches.unflatten(3, (self.patch_size, self.patch_size, -1)).permute(0, 5, 1, 3, 2, 4)
        return pixels.flatten(4, 5).flatten(2, 3)
