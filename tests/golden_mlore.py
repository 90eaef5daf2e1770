"""The published models' numbers, and our models built for them the way a training script builds its model."""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.structures import PixelData

from mlore_mm.converters.mlore import official_to_mm
from mlore_mm.registry import RUNNERS
from mlore_mm.structures import MultiTaskDataSample
from tests.shared import shared_path

NAMES = ('pascal', 'nyud')
KINDS = dict(
    semseg='SemSeg', human_parts='HumanParts', sal='Saliency', normals='SurfaceNormals', edge='Edge', depth='Depth'
)
# The reference runs drew routing noise in training: its deviations are zero in the first step, but their gradient is
# the noise. Where the generator stood before the first step: seed, and 32-bit numbers drawn since.
NOISE = dict(pascal=(100, 1851167), nyud=(200, 3101793))
# By model and parameter: index and sign of first-step gradients that fp32 does not decide, see docs/faithfulness.md.
SIGNS = Path(__file__).parent / 'data/mlore/first_step_signs.json'


@dataclass
class Golden:
    name: str
    meta: dict
    expected: dict
    official: dict

    @property
    def samples(self) -> list[MultiTaskDataSample]:
        """Labels in the model's order of tasks, as the pipeline packs them."""
        targets, tasks = self.expected['targets'], self.meta['tasks']
        count = len(self.expected['input'])
        return [MultiTaskDataSample(gt=PixelData(**{t: targets[t][i] for t in tasks})) for i in range(count)]

    def config(self, **head) -> Config:
        """A config like those of configs/mlore; ``head`` overrides the decoder."""
        meta, c = self.meta, self.meta['config']
        weights = meta['loss_weights']
        tasks = {
            t: dict(type=KINDS[t], out_channels=meta['num_outputs'][t], loss_weight=weights[t]) for t in meta['tasks']
        }
        tasks['edge']['loss'] = dict(type='BalancedBCELoss', pos_weight=meta['edge_pos_weight'])
        decode_head = dict(
            type='MLoREDecodeHead',
            in_channels=[c['embed']] * 4,
            embed_dims=c['D'],
            ranks=c['ranks'],
            task_rank=c['spe'],
            top_k=c['topk'],
            pre_softmax=c['pre'],
            grid=[x // 16 for x in c['img']],
        )
        backbone = dict(
            type='PlainViT',
            arch=dict(embed_dims=c['embed'], num_layers=c['depth'], num_heads=c['heads']),
            img_size=c['img'],
            out_indices=[*(i - 1 for i in c['sel']), c['depth'] - 1],
            drop_path_rate=0.0,
        )
        balance = dict(type='LoadBalanceLoss', loss_weight=weights['load_balancing'])
        return Config(
            dict(
                default_scope='mlore_mm',
                custom_imports=dict(imports=['mlore_mm']),
                runner_type='mlore_mm.MultiTaskRunner',
                log_level='ERROR',
                tasks=tasks,
                model=dict(
                    type='MultiTaskEncoderDecoder',
                    backbone=backbone,
                    decode_head={**decode_head, **head},
                    criterion=dict(type='MultiTaskCriterion', auxiliary_losses=dict(load_balance=balance)),
                ),
            )
        )

    def model(self, work_dir, **head):
        """The Runner's model with the published weights, loaded strictly."""
        config = self.config(**head)
        config.work_dir = str(work_dir)
        config.experiment_name = f'golden_{self.name}_{id(config)}'
        model = RUNNERS.build(config).model
        model.load_state_dict(official_to_mm(self.official)[0], strict=True)
        return model

    def seed_noise(self) -> None:
        """Put the global generator where it stood before the first training step of the reference run."""
        seed, drawn = NOISE[self.name]
        torch.manual_seed(seed)
        torch.rand(drawn)

    def settle_signs(self, model) -> None:
        """Give gradients of the first step that are within rounding of zero the sign they had in the reference run.

        Adam takes a full step by that sign. Magnitudes become 1e-6, some rounding errors of such a gradient.
        """
        parameters = dict(model.named_parameters())
        for name, signs in json.loads(SIGNS.read_text())[self.name].items():
            gradient = parameters[name].grad.view(-1)
            for index, sign in signs:
                gradient[index] = sign * gradient[index].abs().clamp(min=1e-6)


@cache
def load_golden(name: str) -> Golden:
    """'pascal' or 'nyud' from the shared reference data, or a skip."""
    folder = shared_path('golden/mlore')
    meta = json.loads((folder / f'{name}_tiny_meta.json').read_text())
    expected = torch.load(folder / f'{name}_tiny_expected.pth', weights_only=True)
    official = torch.load(folder / f'{name}_tiny_official_checkpoint.pth', weights_only=True)['model']
    return Golden(name, meta, expected, official)
