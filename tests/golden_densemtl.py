"""The published DenseMTL, PAD-Net+ and DeepLab on tiny widths: their weights in our parts, and their numbers."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mlore_mm.converters import SYSTEMS
from mlore_mm.models.output import MultiTaskOutput
from mlore_mm.registry import MODELS
from mlore_mm.tasks import TaskSet
from tests.golden_astmt import compare_norms, largest
from tests.shared import shared_path

NAMES = ('nyud_sdne', 'outdoor_sdn', 'outdoor_sd', 'padnetplus_sdn', 'deeplab_sde')
SYSTEM = dict(densemtl='densemtl', padnetplus='pad_net_plus', deeplab='densemtl_deeplab')
# The published losses, by their names in the meta files.
KINDS = dict(
    cross_entropy=dict(type='SemSeg', ignore_value=250),
    berhu=dict(type='InverseDepth', metric=dict(min_depth=0, max_depth=float('inf'))),  # the loss at any distance
    gt_normals=dict(type='SurfaceNormals', loss=dict(type='CosineNormalsLoss', legacy_no_normals_mask=True)),
    normals=dict(type='SurfaceNormals', loss=dict(type='NormalsFromDepthLoss', legacy_inverse_depth_normals=True)),
    edges=dict(type='Edge', loss=dict(type='WeightedCrossEntropyLoss', class_weights=(0.05, 0.95))),
)
MEAN, STD = 0.45, 0.225


class Features(nn.Module):
    """Stands where the encoder is: the golden inputs of some models are its features."""

    def forward(self, levels: list[Tensor]) -> tuple[Tensor, ...]:
        return tuple(levels)


@dataclass
class Golden:
    """One golden model.

    Args:
        name: One of :data:`NAMES`.
        dtype: What is computed in.
    """

    name: str
    dtype: torch.dtype = torch.float64

    @cached_property
    def meta(self) -> dict:
        return json.loads(shared_path(f'golden/densemtl/{self.name}_meta.json').read_text())

    @cached_property
    def expected(self) -> dict:
        return torch.load(shared_path(f'golden/densemtl/{self.name}_expected.pth'), weights_only=True)

    @cached_property
    def table(self):
        return SYSTEMS[SYSTEM[self.meta['kind']]]

    @cached_property
    def tasks(self) -> TaskSet:
        return TaskSet(
            {
                name: dict(KINDS[task['loss']], out_channels=task['num_out_ch'], loss_weight=task['weight'])
                for name, task in self.meta['tasks'].items()
            }
        )

    @property
    def side(self) -> int | None:
        """The supervised scale besides 0."""
        return max(self.meta.get('active_scales', [0])) or None

    def parts(self) -> nn.ModuleDict:
        """Encoder and head with the published weights."""
        meta = self.meta
        encoder, channels = Features(), meta.get('feature_channels')
        if arch := meta['encoder']:
            depth, expansion = (50, 4) if arch['block'] == 'bottleneck' else (18, 1)
            dilated = dict(strides=(1, 2, 2, 1), dilations=(1, 1, 1, 2), contract_dilation=True)
            options = dict(depth=depth, stem_channels=arch['stem'], base_channels=arch['base'])
            options.update(dilated if arch['dilate_last'] else {})
            encoder = MODELS.build(dict(type='StemResNet', **options))
            channels = [arch['stem'], *(arch['base'] * 2**i * expansion for i in range(4))]
        parts = nn.ModuleDict(dict(backbone=encoder, decode_head=MODELS.build(self._head(channels)))).to(self.dtype)
        checkpoint = torch.load(shared_path(f'golden/densemtl/{self.name}_checkpoint.pth'), weights_only=True)
        parts.load_state_dict(self.table.to_ours(checkpoint)[0])
        parts['decode_head'].evaluated_groups = frozenset({f'scale_{self.side}'})
        return parts

    def _head(self, channels: list[int]) -> dict:
        meta = self.meta
        if meta['kind'] == 'deeplab':
            options = dict(channels=meta['deeplab_width'], dilations=meta['aspp_rates'], dropout=0.0)
            head = dict(type='DeepLabHead', in_channels=channels[-1], **options)
            return dict(type='PerTaskHead', tasks=self.tasks, in_channels=[channels[-1]], head=head)
        return dict(
            type=dict(densemtl='DenseMTLHead', padnetplus='PADNetPlusHead')[meta['kind']],
            tasks=self.tasks,
            in_channels=channels,
            channels=meta['num_ch_dec'],
            dilations=meta['aspp_rates'],
            dropout=0.0,
        )

    @cached_property
    def criterion(self) -> nn.Module:
        groups = {f'scale_{self.side}': dict(combine='mean', align_corners=True)} if self.side else {}
        return MODELS.build(dict(type='MultiTaskCriterion', tasks=self.tasks, auxiliary=groups))

    def inputs(self):
        """Normalised images, or features."""
        given = self.expected['input']
        if isinstance(given, Tensor):
            return (given.to(self.dtype) - MEAN) / STD
        return [level.to(self.dtype) for level in given]

    def targets(self, valid: Tensor | None = None) -> dict[str, Tensor]:
        """Labels as a data set gives them; ``valid`` is another mask for depth."""
        given = self.expected['targets']
        mask = given['depth_mask'] if valid is None else valid
        metres = 655.36 / given['gt_depth'].to(self.dtype) - 0.01
        labels = dict(
            semseg=given['lbl'][:, None],
            depth=torch.where(mask, metres, 0),
            normals=given.get('gt_normals', torch.zeros(len(mask), 3, *mask.shape[2:])),
            edges=given.get('gt_edges', given['lbl'])[:, None],
        )
        return {name: labels[name].to(self.dtype) for name in self.tasks}

    def validation_mask(self) -> Tensor:
        """Where the published validation takes depth for valid."""
        given = self.expected['targets']
        metres = 655.36 / given['gt_depth'].double() - 1
        return given['depth_mask'] & (metres > 0.001) & (metres < 80)

    @property
    def metas(self) -> list[dict]:
        """Intrinsics from the inverse matrix, which the published code uses."""
        inverse = self.expected['targets'].get('inv_K')
        if inverse is None:
            return [{}]
        inverse = inverse.double()
        fx, fy = 1 / inverse[:, 0, 0], 1 / inverse[:, 1, 1]
        values = torch.stack([fx, fy, -inverse[:, 0, 2] * fx, -inverse[:, 1, 2] * fy], dim=1)
        return [dict(intrinsics=row) for row in values.tolist()]

    def outputs(self, output: MultiTaskOutput) -> dict[str, Tensor]:
        """Under the golden names; the coarse logits of DeepLab at the size of the image."""
        size = self.meta['image_hw']
        maps = {
            f'{name}/0': F.interpolate(x, size=size, mode='bilinear') if self.meta['kind'] == 'deeplab' else x
            for name, x in output.logits.items()
        }
        for group, logits in output.auxiliary.items():
            maps.update({f'{name}/{group[-1]}': x for name, x in logits.items()})
        return maps

    def losses(self, output: MultiTaskOutput, valid: Tensor | None = None) -> dict[str, Tensor]:
        """Under the golden names: ``task_scale`` unweighted, ``task`` weighted, and ``total``."""
        logged = self.criterion(output, self.targets(valid), metas=self.metas)
        scales, losses = 1 + len(output.auxiliary), {'total': sum(logged.values())}
        for name, task in self.tasks.items():
            final = logged[f'loss_{name}']
            losses[f'{name}_0'] = losses[name] = final * scales / task.loss_weight
            for group in output.auxiliary:
                losses[f'{name}_{group[-1]}'] = logged[f'loss_{group}_{name}'] * scales / task.loss_weight
            losses[name] = sum(value for key, value in logged.items() if key.endswith(f'_{name}'))
        return losses

    def published(self, named: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """By published key what is by one of ours."""
        return self.table.to_published(named)


def run(golden: Golden) -> Iterator[tuple[str, float, float]]:
    """(what, deviation, tolerance) of every number: evaluation, training, gradients, one SGD step."""
    exact = golden.dtype == torch.float64
    scalars, norms = (1e-9, 1e-6) if exact else (1e-5, 1e-3)

    def compare(what: str, ours: Mapping[str, Tensor], wanted: Mapping[str, Tensor]):
        for name, x in wanted.items():
            tolerance = 1e-6 if exact else 5e-3 if name.startswith('depth') else 1e-4
            yield f'{what} {name}', largest(ours[name], x, absolute=not exact), tolerance

    def compare_scalars(what: str, ours: Mapping[str, Tensor], wanted: Mapping[str, float], tolerance=scalars):
        for name, x in wanted.items():
            yield f'{what} {name}', abs(ours[name].item() - x) / abs(x), tolerance

    parts, expected = golden.parts(), golden.expected
    encoder, head, inputs = parts['backbone'], parts['decode_head'], golden.inputs()
    parts.eval()
    with torch.no_grad():
        output = head(encoder(inputs))
        yield from compare('evaluation', golden.outputs(output), expected['eval_outputs'])
        for rules, valid in (('training', None), ('validation', golden.validation_mask())):
            wanted = expected.get(f'eval_losses_{rules}_rules', {})
            yield from compare_scalars(f'evaluation loss, {rules} rules,', golden.losses(output, valid), wanted)

    parts.train()
    output = head(encoder(inputs))
    losses = golden.losses(output)
    losses['total'].backward()
    with torch.no_grad():
        yield from compare('training', golden.outputs(output), expected['train_outputs'])
        yield from compare_scalars('training loss', losses, expected['train_losses'])
        gradients = golden.published({key: p.grad for key, p in parts.named_parameters()})
        ours = {key: gradient.norm().item() for key, gradient in gradients.items()}
        yield from compare_norms(ours, expected['grad_norms'], norms)
        total = torch.stack([g.norm() for g in gradients.values()]).norm().item()
        yield 'total gradient norm', abs(total / expected['grad_norm_total'] - 1), norms
        for key, wanted in expected.get('grads', {}).items():
            scale = max(wanted.abs().max().item(), 1e-4 * max(expected['grad_norms'].values()))
            yield f'gradient {key}', largest(gradients[key], wanted, absolute=True) / scale, norms
        buffers = golden.published(dict(parts.named_buffers()))
        for key, wanted in expected.get('bn_running_after_first_train_forward', {}).items():
            yield f'statistics {key}', largest(buffers[key], wanted, absolute=False), norms
        for parameter in parts.parameters():
            parameter -= golden.meta['sgd_lr'] * parameter.grad
        parts.eval()
        after = head(encoder(inputs))
        yield from compare('after a step', golden.outputs(after), expected['after_step_eval_outputs'])
        wanted = expected.get('after_step_eval_losses_training_rules', {})
        # A step along gradients that fp32 has to 1e-3 leaves more than one evaluation does.
        after_step = scalars if exact else 5e-5
        yield from compare_scalars('after a step, evaluation loss', golden.losses(after), wanted, after_step)
        parts.train()
        losses = golden.losses(head(encoder(inputs)))
        yield from compare_scalars('after a step, loss', losses, expected['after_step_train_losses'], after_step)
