"""The MLoRE decoder."""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from mlore_mm.models.decode_heads.base import MultiTaskHead
from mlore_mm.models.features import Features
from mlore_mm.models.layers import MLoREBlock, PredictionHead, StageFusion
from mlore_mm.models.output import MultiTaskOutput
from mlore_mm.registry import MODELS
from mlore_mm.routing.top_k_gate import TopKGate
from mlore_mm.tasks import TaskSet

BLOCKS_PER_STAGE = 2


@MODELS.register_module()
class MLoREDecodeHead(MultiTaskHead):
    """Mixture of low-rank experts: two MoE blocks per backbone level, fused over the levels, one head per task.

    Source: MLoRE (Yang et al., CVPR 2024).

    Args:
        tasks: The model's tasks in order; the segmentor hands them in.
        in_channels: Channels of the used levels, one per stage.
        embed_dims: D, divisible by 4.
        ranks: Ranks of the experts shared by all tasks, in any order.
        task_rank: Rank of the task-specific expert.
        top_k: Experts chosen per image and task.
        pre_softmax: Select, then softmax (True, published for NYUD-v2) or softmax, then select (False).
        grid: (h, w) of the decoder's feature map at the training size, for the routers' pixel weights; by default
            ``img_size`` over the stride of the reference level.
        img_size: (H, W) of the training images, such as '$crop_size'.
        strides: Of the used levels; the segmentor asks the encoder.
        gate: More options of :class:`TopKGate`, such as ``dict(noise='none')``.
        detach_generic: See :class:`MLoREBlock`.
        with_cp: In training, compute cheap, large parts twice instead of keeping them for the backward pass.
        deploy: Build the folded form that :meth:`switch_to_deploy` leaves behind, to load its weights: True with
            precomputed kernels, 'factors' without.
        scale: Upsampling before the last layers; 4 brings stride 16 to stride 4.
        in_index: Levels taken from the backbone.
        reference_level: Which of them sets the grid; levels of other strides are resized to it.
        identity_init: Begin with blocks that pass their input on, see :meth:`MLoREBlock.start_as_identity`. A short
            training learns much faster then, if ``detach_generic=False`` lets gradients take that path.
        init_cfg: As in mmengine.
    """

    auxiliary_groups = ()
    config_keys = dict(gate=TopKGate)

    def __init__(
        self,
        tasks: TaskSet | Mapping,
        in_channels: Sequence[int],
        embed_dims: int,
        ranks: Sequence[int],
        task_rank: int,
        top_k: int,
        grid: tuple[int, int] | None = None,
        pre_softmax: bool = False,
        gate: Mapping | None = None,
        detach_generic: bool = True,
        with_cp: bool = True,
        deploy: bool | str = False,
        scale: int = 4,
        in_index: Sequence[int] | None = None,
        reference_level: int = 0,
        init_cfg: dict | None = None,
        img_size: tuple[int, int] | None = None,
        strides: Sequence[int] | None = None,
        identity_init: bool = False,
    ) -> None:
        super().__init__(tasks, in_channels, in_index, reference_level, init_cfg)
        grid = grid or grid_of(img_size, strides, reference_level)
        if not 0 < top_k <= len(ranks):
            raise ValueError(f'top_k={top_k} of {len(ranks)} experts is not possible; check top_k and ranks.')
        names, stages = list(self.tasks), len(self.in_channels)
        gate = dict(top_k=top_k, pre_softmax=pre_softmax, **(gate or {}))
        block_args = (names, embed_dims, ranks, task_rank, tuple(grid), gate)
        self.embed_dims, self.identity_init = embed_dims, identity_init
        self.project = nn.ModuleList(nn.Conv2d(c, embed_dims, 1) for c in self.in_channels)
        self.stages = nn.ModuleList(
            nn.ModuleList(
                MLoREBlock(*block_args, f'decode_head/stage{s}/block{b}', detach_generic, with_cp)
                for b in range(BLOCKS_PER_STAGE)
            )
            for s in range(stages)
        )
        self.fusion = StageFusion(names, embed_dims, stages)
        self.heads = nn.ModuleDict(
            {name: PredictionHead(embed_dims, task.out_channels, scale, with_cp) for name, task in self.tasks.items()}
        )

        if deploy not in (True, False, 'factors'):
            raise ValueError(f"deploy is True, False or 'factors', but got {deploy!r}.")
        if deploy:
            self.switch_to_deploy(precompute=deploy != 'factors')

    def init_weights(self) -> None:
        super().init_weights()
        if self.identity_init:
            for block in self.blocks():
                block.start_as_identity()

    def switch_to_deploy(self, precompute: bool = True) -> None:
        """Fold every block, in place; see :meth:`MLoREBlock.switch_to_deploy`."""
        for block in self.blocks():
            block.switch_to_deploy(precompute)

    def blocks(self) -> list[MLoREBlock]:
        """The MoE blocks in the order of their computation."""
        return [block for stage in self.stages for block in stage]

    def forward(self, feats: Features, tasks: Sequence[str] | None = None) -> MultiTaskOutput:
        """Levels (B, C_l, h_l, w_l), shared or per task, to logits (B, C_t, scale*h, scale*w) per task."""
        tasks = self.active_tasks(tasks)
        projected = self._project(feats, tasks)
        decoded = [self._run_stage(stage, x, tasks) for stage, x in zip(self.stages, projected, strict=True)]
        logits = {}
        for i, task in enumerate(tasks):
            fused = self.fusion([stage[i] for stage in decoded], task)
            logits[task] = self.heads[task](fused)
        return MultiTaskOutput(logits=logits)

    def _run_stage(self, blocks: nn.ModuleList, x: Tensor, tasks: Sequence[str]) -> Tensor:
        for block in blocks:
            x = block(x, tasks)
        return x

    def _project(self, feats: Features, tasks: Sequence[str]) -> list[Tensor]:
        """Each stage's features at D channels on one grid: (1, B, D, h, w) shared, or (T, B, D, h, w)."""
        feats = Features.wrap(feats)
        if feats.is_shared:
            return [x[None] for x in self._project_levels(self.select(feats))]
        per_task = [self._project_levels(self.select(feats, task)) for task in tasks]
        return [torch.stack(levels) for levels in zip(*per_task, strict=True)]

    def _project_levels(self, levels: Sequence[Tensor]) -> list[Tensor]:
        return self.to_reference([conv(x) for conv, x in zip(self.project, levels, strict=True)])


def grid_of(img_size: Sequence[int] | None, strides: Sequence[int] | None, reference_level: int) -> tuple[int, int]:
    """(h, w) of the reference level for images of (H, W), padded to a multiple of its stride."""
    if img_size is None or strides is None:
        raise ValueError(
            'MLoREDecodeHead needs `grid`, the (h, w) of its feature map at the training size, or `img_size`, from '
            "which it follows: decode_head=dict(img_size='$crop_size')."
        )
    return tuple(math.ceil(side / strides[reference_level]) for side in img_size)
