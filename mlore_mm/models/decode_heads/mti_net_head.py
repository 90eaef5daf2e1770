"""The MTI-Net decoder."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from mlore_mm.models.decode_heads.cross_task import CrossTaskHead
from mlore_mm.models.features import Features
from mlore_mm.models.layers.distillation import Distillation
from mlore_mm.models.layers.feature_propagation import FeaturePropagation
from mlore_mm.models.layers.initial_prediction import InitialPrediction
from mlore_mm.models.layers.level_fusion import LevelFusionHead, upsample
from mlore_mm.models.layers.residual_blocks import BasicBlock
from mlore_mm.models.output import MultiTaskOutput
from mlore_mm.registry import MODELS


@MODELS.register_module()
class MTINetHead(CrossTaskHead):
    """Multi-scale task interaction: from coarse to fine, a first guess of every task at every scale.

    The features of a scale are propagated to the next finer one across tasks, distilled between tasks at every scale,
    and the distilled features of all scales make the final prediction. In training the groups ``scale_0`` (finest),
    ``scale_1``, ... hold the first guesses of all tasks at the resolution of the scale. A subset of tasks costs
    everything that the tasks share, and distillation and heads of the subset only; its predictions are those of the
    full run.
    Source: MTI-Net (Vandenhende et al., ECCV 2020).

    Args:
        tasks: The model's tasks in order; the segmentor hands them in.
        in_channels: Channels of the scales, fine to coarse, each of half the resolution of the one before. All but the
            finest need 16 or more. Published: 18, 36, 72, 144 at strides 4 to 32.
        legacy_fpm_layout: As the published code, see :class:`FeaturePropagation`; published weights need it.
        in_index: Levels taken from the backbone.
        task_order: See :class:`CrossTaskHead`.
        init_cfg: As in mmengine.
        aux_tasks: Names of tasks that are supervised and not predicted.

    Raises:
        ValueError: A single level, or a width below 16 where features are propagated.
    """

    def __init__(
        self,
        tasks,
        in_channels: Sequence[int],
        legacy_fpm_layout: bool = False,
        in_index: Sequence[int] | None = None,
        task_order: Iterable[str] | None = None,
        init_cfg: dict | None = None,
        aux_tasks: Sequence[str] | None = None,
    ) -> None:
        super().__init__(tasks, in_channels, in_index, task_order, init_cfg, aux_tasks)
        widths, names, outputs = self.in_channels, self.task_order, self.out_channels
        if len(widths) < 2 or min(widths[1:]) < 16:
            raise ValueError(
                f'MTINetHead needs two levels or more, all but the finest of 16 channels or more (its squeeze and '
                f'excitation has a sixteenth of them), but got in_channels={widths}. Take other levels with in_index, '
                'or a neck that widens them.'
            )
        self.auxiliary_groups = tuple(f'scale_{s}' for s in range(len(widths)))
        coarser = [*widths[1:], 0]
        self.initial = nn.ModuleList(
            InitialPrediction(outputs, width + below, width, BasicBlock)
            for width, below in zip(widths, coarser, strict=True)
        )
        self.propagation = nn.ModuleDict(
            {str(s): FeaturePropagation(names, widths[s], legacy_fpm_layout) for s in range(1, len(widths))}
        )
        self.distillation = nn.ModuleList(Distillation(self.main_order, names, width) for width in widths)
        self.heads = nn.ModuleDict({task: LevelFusionHead(widths, outputs[task]) for task in self.main_order})

    def forward(self, feats: Features, tasks: Sequence[str] | None = None) -> MultiTaskOutput:
        """Levels, shared or per task, to logits (B, C_t, h_0, w_0) of the predicted tasks, at the finest level."""
        main, active = self.wanted(tasks)
        features = self._refine(self.per_task_levels(feats))
        distilled = [distil(x, main) for distil, x in zip(self.distillation, features, strict=True)]
        logits = {task: self.heads[task]([x[task] for x in distilled]) for task in main}
        auxiliary = {
            f'scale_{s}': self.initial[s].logits(features[s], active)
            for s in range(len(features))
            if self.wants_auxiliary(f'scale_{s}')
        }
        return MultiTaskOutput(logits, auxiliary)

    def _refine(self, levels: dict[str, list[Tensor]]) -> list[dict[str, Tensor]]:
        """Every task's features at every scale, fine to coarse; computed the other way round."""
        self._check_sizes(next(iter(levels.values())))
        last = len(self.in_channels) - 1
        features = [self.initial[last]({task: x[last] for task, x in levels.items()})]
        for s in range(last - 1, -1, -1):
            coarse = self.propagation[str(s + 1)](features[0])
            inputs = {
                task: torch.cat([x[s], upsample(coarse[task], x[s].shape[-2:])], dim=1) for task, x in levels.items()
            }
            features.insert(0, self.initial[s](inputs))
        return features

    def _check_sizes(self, levels: Sequence[Tensor]) -> None:
        sizes = [tuple(level.shape[-2:]) for level in levels]
        if any((fine[0], fine[1]) != (2 * h, 2 * w) for fine, (h, w) in zip(sizes[:-1], sizes[1:], strict=True)):
            raise ValueError(
                f'MTINetHead needs levels that halve from one to the next, but got sizes {sizes}. With strides 4 to 32 '
                'the sides of an image have to be multiples of 32: set size_divisor=32 in the data preprocessor, or '
                'such a size in the pipeline.'
            )
