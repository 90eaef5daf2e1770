"""The PAD-Net decoder."""

from collections.abc import Iterable, Sequence

from torch import nn

from mlore_mm.models.decode_heads.cross_task import CrossTaskHead, once_per_input
from mlore_mm.models.features import Features
from mlore_mm.models.layers.distillation import Distillation
from mlore_mm.models.layers.initial_prediction import InitialPrediction
from mlore_mm.models.layers.level_fusion import LevelFusion
from mlore_mm.models.layers.residual_blocks import BottleneckBlock
from mlore_mm.models.output import MultiTaskOutput
from mlore_mm.registry import MODELS


@MODELS.register_module()
class PADNetHead(CrossTaskHead):
    """Prediction and distillation: a first guess of every task, gated messages between their features, final heads.

    All levels are fused at the finest. In training the group ``initial`` holds the first guesses of all tasks, which
    are supervised at that resolution; auxiliary tasks have no more than that. A subset of tasks costs the first part of
    all, and messages and heads of the subset only; its predictions are those of the full run.
    Source: PAD-Net (Xu et al., CVPR 2018), in the re-implementation of Vandenhende et al. (TPAMI 2021), which distils
    features where the paper distils predictions.

    Args:
        tasks: The model's tasks in order; the segmentor hands them in.
        in_channels: Channels of the used levels, fine to coarse.
        embed_dims: Width of the tasks' features, a multiple of 4; published: 256.
        in_index: Levels taken from the backbone.
        task_order: See :class:`CrossTaskHead`; here only for the order of sums.
        init_cfg: As in mmengine.
        aux_tasks: Names of tasks that are supervised and not predicted.
    """

    auxiliary_groups = ('initial',)

    def __init__(
        self,
        tasks,
        in_channels: Sequence[int],
        embed_dims: int = 256,
        in_index: Sequence[int] | None = None,
        task_order: Iterable[str] | None = None,
        init_cfg: dict | None = None,
        aux_tasks: Sequence[str] | None = None,
    ) -> None:
        super().__init__(tasks, in_channels, in_index, task_order, init_cfg, aux_tasks)
        outputs = self.out_channels
        self.fuse = LevelFusion(self.in_channels)
        self.initial = InitialPrediction(outputs, self.fuse.channels, embed_dims, BottleneckBlock)
        self.distillation = Distillation(self.main_order, self.task_order, embed_dims)
        self.heads = nn.ModuleDict(
            {
                task: nn.Sequential(
                    BottleneckBlock(embed_dims, embed_dims),
                    BottleneckBlock(embed_dims, embed_dims),
                    nn.Conv2d(embed_dims, outputs[task], 1),
                )
                for task in self.main_order
            }
        )

    def forward(self, feats: Features, tasks: Sequence[str] | None = None) -> MultiTaskOutput:
        """Levels, shared or per task, to logits (B, C_t, h_0, w_0) of the predicted tasks, at the finest level."""
        main, active = self.wanted(tasks)
        features = self.initial(once_per_input(self.fuse, self.per_task_levels(feats)))
        distilled = self.distillation(features, main)
        logits = {task: self.heads[task](distilled[task]) for task in main}
        if not self.wants_auxiliary('initial'):
            return MultiTaskOutput(logits)
        return MultiTaskOutput(logits, auxiliary=dict(initial=self.initial.logits(features, active)))
