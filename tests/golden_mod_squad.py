"""The published Mod-Squad at toy size: its weights in our model, and its numbers beside ours."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mlore_mm.converters import ModSquadTable
from mlore_mm.models.encoding import encode
from mlore_mm.models.losses import DirectionLoss, MaskedL1Loss, MaskedMSELoss
from mlore_mm.registry import MODELS
from mlore_mm.routing import trace_routing
from tests.shared import shared_path

NAMES = ('twice_tiny', 'mlponly_tiny')


@dataclass
class Golden:
    """One golden model.

    Args:
        name: One of :data:`NAMES`.
        dtype: What is computed in.
        folded: All tasks in one call of the encoder.
    """

    name: str
    dtype: torch.dtype = torch.float64
    folded: bool = True

    @cached_property
    def meta(self) -> dict:
        return json.loads(shared_path(f'golden/modsquad/{self.name}_meta.json').read_text())

    def _load(self, ending: str) -> dict:
        return torch.load(shared_path(f'golden/modsquad/{self.name}_{ending}.pth'), weights_only=True)

    @cached_property
    def expected(self) -> dict:
        return self._load('expected')

    @cached_property
    def checkpoint(self) -> dict[str, Tensor]:
        """Its weights, and those of the tasks' losses."""
        file = self._load('checkpoint')
        return {**file['model'], 'AWL.params': file['AWL']['params']}

    @property
    def tasks(self) -> list[str]:
        return self.meta['tasks']

    @cached_property
    def table(self) -> ModSquadTable:
        return ModSquadTable(self.tasks)

    def config(self) -> dict:
        meta, weights = self.meta, self.meta['loss_weights']
        everywhere = list(range(meta['depth']))
        backbone = dict(
            type='ModSquadViT',
            arch=dict(embed_dims=meta['embed_dims'], num_layers=meta['depth'], num_heads=meta['attention_k']),
            img_size=meta['image_height_width'],
            attn_experts=meta['attention_experts'],
            num_experts=meta['mlp_experts'],
            top_k=meta['mlp_k'],
            mlp_ratio=meta['mlp_ratio'],
            twice_attn=meta['moe_attention_blocks'] != everywhere,
            twice_mlp=meta['moe_mlp_blocks'] != everywhere,
            drop_path_rate=0.0,
            legacy=True,
        )
        routers = dict(
            type='ModSquadRouterLoss',
            mutual_information=weights['MI'],
            switch=weights['switch'],
            z=weights['z'],
            top_k=dict(mlp=weights['topk_mlp'], attn=weights['topk_attention']),
            top_k_limit=dict(mlp=meta['topk_limit_mlp'], attn=meta['topk_limit_attention']),
            legacy=True,
        )
        image_tasks = [name for name in self.tasks if name.startswith('class')]
        head = dict(type='ModSquadHead', in_channels=meta['embed_dims'], image_tasks=image_tasks)
        weighting = dict(type='LearnedScaleWeighting')
        criterion = dict(type='MultiTaskCriterion', weighting=weighting, auxiliary_losses=dict(routers=routers))
        tasks = {
            name: dict(type='DenseRegression', out_channels=channels)
            for name, channels in meta['task_channels'].items()
        }
        return dict(
            type='MultiTaskEncoderDecoder', backbone=backbone, decode_head=head, criterion=criterion, tasks=tasks
        )

    def model(self) -> nn.Module:
        """Ours with the published weights."""
        model = MODELS.build(self.config()).to(self.dtype)
        model.load_state_dict(self.table.to_ours(self.checkpoint)[0])
        return model

    def passes(self) -> list[tuple[Tensor, dict[str, Tensor]]]:
        """Images and targets of the three golden passes."""
        file = self.expected
        images = [file['input'], *file['inputs_passes_2_3']]
        targets = [file['targets'], *file['targets_passes_2_3']]
        return [
            (x.to(self.dtype), {name: t.to(self.dtype) for name, t in y.items()})
            for x, y in zip(images, targets, strict=True)
        ]

    def run(self, model: nn.Module, images: Tensor) -> tuple[dict[str, Tensor], object]:
        """Outputs (B, C, H, W) or (B, C, 1, 1) of all tasks, and what the routers recorded."""
        with trace_routing() as trace:
            feats = encode(model.backbone, images, self.tasks, self.tasks, self.folded)
            return model.decode_head(feats, self.tasks).logits, trace

    def losses(self, model: nn.Module, images: Tensor, targets: Mapping[str, Tensor]) -> dict:
        """What the trajectory lists: losses per task, weighted sum, the routers' terms, and the total."""
        outputs, trace = self.run(model, images)
        losses = {name: task_loss(name, outputs[name], targets[name]) for name in self.tasks}
        weighted = sum(model.criterion.weighting(losses).values())
        routers = model.criterion.auxiliary_losses['routers'](trace)
        return dict(
            task_losses=losses, weighted_task_sum=weighted, routers=routers, total=weighted + routers, trace=trace
        )


def task_loss(name: str, output: Tensor, target: Tensor) -> Tensor:
    """The losses of the release on Taskonomy, by our classes; those of the image-level tasks are written out."""
    if name.startswith('class'):
        return F.mse_loss(output[:, :, 0, 0], target[:, 0])
    target = target if target.dim() == 4 else target[:, None]
    valid = torch.ones_like(target[:, :1], dtype=torch.bool)
    kinds = dict(normal=DirectionLoss, principal_curvature=MaskedMSELoss)
    return kinds.get(name, MaskedL1Loss)()(output, target, valid)


def golden_place(layer: str) -> str:
    """``backbone/block3/mlp`` to ``blocks.3.mlp``."""
    return layer.removeprefix('backbone/').replace('block', 'blocks.').replace('/', '.')
