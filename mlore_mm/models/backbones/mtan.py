"""The encoder of MTAN."""

from collections.abc import Iterable, Mapping, Sequence

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from mlore_mm.models.features import Features
from mlore_mm.models.layers.residual_blocks import BottleneckBlock
from mlore_mm.registry import MODELS
from mlore_mm.tasks import in_order


@MODELS.register_module()
class MTAN(BaseModule):
    """One encoder, and a soft mask per task on the features of every stage.

    Stage i gives b (all blocks but the last; of the first stage the stem as well) and u (the last block), and goes on
    with u. The mask of a task is made of b and of what the task took from the stage before; the task takes mask * u,
    through a bottleneck that the tasks share, to the next stage. A subset of tasks costs the encoder and the masks of
    the subset; its features are those of the full run. In training the shared bottleneck's norms see one task after the
    other, in order, each with its own statistics.
    Source: MTAN (Liu et al., CVPR 2019), on ResNet as in the code of Vandenhende et al. (TPAMI 2021).

    Args:
        encoder: Config of a :class:`DilatedResNet` of two blocks a stage or more.
        tasks: The model's tasks in order; the segmentor hands them in.
        task_order: The order in which tasks pass the shared parts; published by default.
        pooled: Stages (1 to 3) after which a task's features are pooled, as the encoder's next stage halves its map.
        init_cfg: As in mmengine.
    """

    call_mode = 'owner'
    needs_tasks = True

    def __init__(
        self,
        encoder: Mapping,
        tasks: Mapping,
        task_order: Iterable[str] | None = None,
        pooled: Sequence[int] = (1,),
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.order, self.pooled = in_order(tasks, task_order), tuple(pooled)
        self.encoder = MODELS.build(dict(encoder))
        _, *widths = self.encoder.stage_channels.values()
        self.attention = nn.ModuleDict(
            {
                str(i): nn.ModuleDict({task: _mask(width if i == 1 else 2 * width, width) for task in self.order})
                for i, width in enumerate(widths, 1)
            }
        )
        self.refine = nn.ModuleDict(
            {
                str(i): BottleneckBlock(width, following, shortcut_conv=True)
                for i, (width, following) in enumerate(zip(widths[:-1], widths[1:], strict=True), 1)
            }
        )

    def forward(self, x: Tensor, tasks: Sequence[str]) -> Features:
        """Images (B, 3, H, W) to the last stage's masked map of each named task.

        Raises:
            ValueError: The sides of the image do not halve.
        """
        if x.shape[-2] % 8 or x.shape[-1] % 8:
            raise ValueError(f'MTAN needs sides that are multiples of 8, but got {tuple(x.shape[-2:])}.')
        wanted, taken = [task for task in self.order if task in tasks], {}
        x = self.encoder.stem(x)
        for i, masks in self.attention.items():
            *blocks, last = getattr(self.encoder, f'layer{i}')
            for block in blocks:
                x = block(x)
            before, x = x, last(x)
            for task in wanted:
                seen = torch.cat([before, taken[task]], dim=1) if task in taken else before
                taken[task] = self._pass_on(i, masks[task](seen) * x)
        return Features(per_task={task: (taken[task],) for task in wanted})

    def _pass_on(self, stage: str, x: Tensor) -> Tensor:
        """A task's features on their way to the next stage."""
        if stage not in self.refine:
            return x
        x = self.refine[stage](x)
        return F.max_pool2d(x, 2) if int(stage) in self.pooled else x


def _mask(in_channels: int, channels: int) -> nn.Sequential:
    hidden = channels // 4
    return nn.Sequential(
        nn.Conv2d(in_channels, hidden, 1),
        nn.BatchNorm2d(hidden),
        nn.ReLU(),
        nn.Conv2d(hidden, channels, 1),
        nn.BatchNorm2d(channels),
        nn.Sigmoid(),
    )
