"""The published PAD-Net and MTI-Net on tiny widths: their weights in our heads, and their numbers beside ours."""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor, nn

from mlore_mm.converters import SYSTEMS
from mlore_mm.models.layers.level_fusion import upsample
from mlore_mm.models.output import MultiTaskOutput
from mlore_mm.registry import MODELS
from mlore_mm.tasks import TaskSet
from tests.shared import shared_path

HEADS = dict(padnet=('pad_net', 'PADNetHead'), mtinet=('mti_net', 'MTINetHead'))
GROUPS = dict(padnet={'initial': 'deepsup'}, mtinet={f'scale_{s}': f'scale_{s}' for s in range(4)})


def family_a_tasks(out_channels: Mapping[str, int], edge_weight: float = 0.95, loss_weights=None) -> dict[str, dict]:
    """Task configs with the losses of benchmark family A, in which 255 counts as a positive of binary maps."""
    binary = dict(type='BalancedBCELoss', threshold=0.5, ignored_as_positive=True)
    kinds = dict(
        semseg=dict(type='SemSeg'),
        human_parts=dict(type='HumanParts', classes=()),
        sal=dict(type='Saliency', loss=dict(binary, pos_weight='balanced')),
        normals=dict(type='SurfaceNormals', loss=dict(type='NormalsL1Loss', average='elements')),
        edge=dict(type='Edge', loss=dict(binary, pos_weight=edge_weight)),
        depth=dict(type='Depth', ignore_value=255),
    )
    weights = loss_weights or {}
    return {
        name: dict(kinds[name], out_channels=channels, loss_weight=weights.get(name, 1.0))
        for name, channels in out_channels.items()
    }


@dataclass
class Golden:
    """One golden model.

    Args:
        name: Such as ``mtinet_nyud``.
        mode: 'legacy' or 'corrected' for MTI-Net.
        dtype: What is computed in.
        folder: Where its files are; the reference data by default.
    """

    name: str
    mode: str = ''
    dtype: torch.dtype = torch.float64
    folder: Path | None = None

    @property
    def kind(self) -> str:
        return self.name.split('_')[0]

    @cached_property
    def meta(self) -> dict:
        return json.loads(self._path('meta.json').read_text())

    @cached_property
    def file(self) -> dict:
        return torch.load(self._path('expected.pth'), weights_only=True)

    def _path(self, ending: str) -> Path:
        file = f'{self.name}_{ending}'
        return self.folder / file if self.folder else shared_path(f'golden/padnet_mtinet/{file}')

    @property
    def expected(self) -> dict:
        return self.file[self.mode] if self.mode else self.file

    @property
    def table(self):
        return SYSTEMS[HEADS[self.kind][0]]

    @cached_property
    def tasks(self) -> TaskSet:
        """In another order than the published one, which must not matter."""
        meta = self.meta
        configs = family_a_tasks(meta['num_outputs'], meta['edge_positive_weight'], meta['loss_weights'])
        aux = [name for name in meta['auxiliary_tasks'] if name not in meta['main_tasks']]
        return TaskSet({name: configs[name] for name in reversed(configs)}, aux)

    def head(self) -> nn.Module:
        """Ours with the published weights."""
        options = dict(in_channels=self.meta['backbone_channels'])
        if self.kind == 'padnet':
            options['embed_dims'] = self.meta['width']
        else:
            options['legacy_fpm_layout'] = self.mode == 'legacy'
        head = MODELS.build(dict(type=HEADS[self.kind][1], tasks=self.tasks, **options)).to(self.dtype)
        checkpoint = unpacked(torch.load(self._path('checkpoint.pth'), weights_only=True))
        state, left_out = self.table.to_ours(checkpoint)
        assert not left_out
        head.load_state_dict({key.removeprefix('decode_head.'): value for key, value in state.items()})
        head.evaluated_groups = frozenset(GROUPS[self.kind])
        return head

    @cached_property
    def criterion(self) -> nn.Module:
        groups = dict.fromkeys(GROUPS[self.kind], 1.0)
        return MODELS.build(dict(type='MultiTaskCriterion', tasks=self.tasks, auxiliary=groups))

    def inputs(self) -> list[Tensor]:
        return [x.to(self.dtype).requires_grad_() for x in self.file['input']]

    def outputs(self, output: MultiTaskOutput) -> dict[str, Tensor]:
        """Under the golden names, the final ones at the size of the image."""
        maps = {name: upsample(x, self.meta['image_size']) for name, x in output.logits.items()}
        for group, logits in output.auxiliary.items():
            maps.update({f'{group}_{name}': x for name, x in logits.items()})
        return maps

    def losses(self, output: MultiTaskOutput) -> dict[str, Tensor]:
        """Unweighted, under the golden names, and their weighted total."""
        # Labels in the type of the logits, or the criterion computes in fp32.
        targets = {name: self.file['targets'][name].to(self.dtype) for name in self.tasks}
        weighted = {key.removeprefix('loss_'): x for key, x in self.criterion(output, targets).items()}
        losses = {'total': sum(weighted.values())}
        for key, value in weighted.items():
            group = next((group for group in GROUPS[self.kind] if key.startswith(f'{group}_')), '')
            name = key.removeprefix(f'{group}_')
            prefix = f'{GROUPS[self.kind][group]}_' if group else ''
            losses[prefix + name] = value / self.tasks[name].loss_weight
        return losses

    def published(self, named: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """By published key what is by a key of our head."""
        return self.table.to_published({f'decode_head.{key}': value for key, value in named.items()})


def unpacked(checkpoint: dict) -> dict[str, Tensor]:
    """The weights, also where the repository holds them as one tensor without the counters of the norms."""
    if 'flat' not in checkpoint:
        return checkpoint
    shapes = checkpoint['shapes']
    pieces = checkpoint['flat'].split([math.prod(shape) for shape in shapes.values()])
    state = {key: x.reshape(shape) for (key, shape), x in zip(shapes.items(), pieces, strict=True)}
    norms = [key.removesuffix('running_mean') for key in state if key.endswith('running_mean')]
    return {**state, **{f'{norm}num_batches_tracked': torch.tensor(0) for norm in norms}}


def largest(ours: Tensor, wanted: Tensor, absolute: bool) -> float:
    """The largest deviation, by itself or in terms of the largest entry."""
    deviation = (ours - wanted).abs().max().item()
    return deviation if absolute else deviation / max(wanted.abs().max().item(), 1e-12)


def run(golden: Golden) -> Iterator[tuple[str, float, float]]:
    """(what, deviation, tolerance) of every number: evaluation, training, gradients, one SGD step."""
    exact = golden.dtype == torch.float64
    maps, scalars, norms = (1e-6, 1e-6, 1e-6) if exact else (1e-4, 1e-5, 1e-3)

    def compare(what: str, ours: Mapping[str, Tensor], wanted: Mapping[str, Tensor]):
        for name, x in wanted.items():
            yield f'{what} {name}', largest(ours[name], x, absolute=not exact), maps

    def compare_scalars(what: str, ours: Mapping[str, Tensor], wanted: Mapping[str, float]):
        for name, x in wanted.items():
            yield f'{what} {name}', abs(ours[name].item() - x) / abs(x), scalars

    head, expected, inputs = golden.head().eval(), golden.expected, golden.inputs()
    with torch.no_grad():
        output = head(inputs)
        yield from compare('evaluation', golden.outputs(output), expected['eval_outputs'])
        yield from compare_scalars('evaluation loss', golden.losses(output), expected['eval_losses'])

    output = head.train()(inputs)
    losses = golden.losses(output)
    losses['total'].backward()
    with torch.no_grad():
        yield from compare('training', golden.outputs(output), expected['train_outputs'])
        yield from compare_scalars('training loss', losses, expected['train_losses'])
        gradients = golden.published({key: p.grad for key, p in head.named_parameters()})
        yield from compare_norms({key: g.norm().item() for key, g in gradients.items()}, expected['grad_norms'], norms)
        for key, wanted in expected.get('grads', {}).items():
            scale = max(wanted.abs().max().item(), 1e-4 * max(expected['grad_norms'].values()))
            yield f'gradient {key}', largest(gradients[key], wanted, absolute=True) / scale, norms
        for level, wanted in zip(inputs, expected['input_grad_norms'], strict=True):
            yield 'gradient of the input', abs(level.grad.norm().item() - wanted) / wanted, norms
        buffers = golden.published(dict(head.named_buffers()))
        for key, wanted in expected.get('bn_after_forward', {}).items():
            yield f'statistics {key}', largest(buffers[key], wanted, absolute=False), max(norms, 1e-6)
        for parameter in head.parameters():
            parameter -= expected['sgd_lr'] * parameter.grad
        after = head.eval()(inputs)
        yield from compare('after a step', golden.outputs(after), expected.get('after_step_eval_outputs', {}))
        losses = golden.losses(head.train()(inputs))
        yield from compare_scalars('after a step, loss', losses, expected['after_step_train_losses'])


def compare_norms(ours: Mapping[str, float], wanted: Mapping[str, float], tolerance: float):
    """Relative, 1e-2 for norms below a hundredth of the largest in fp32; absolute where there is only rounding."""
    assert set(ours) == set(wanted), 'every parameter has a gradient norm'
    most = max(wanted.values())
    for key, norm in wanted.items():
        if norm < 1e-12 * most or (tolerance > 1e-6 and norm < 1e-6 * most):
            yield f'no gradient of {key}', ours[key] / most, tolerance
        else:
            small = tolerance > 1e-6 and norm < 0.01 * most
            yield f'gradient norm of {key}', abs(ours[key] - norm) / norm, 1e-2 if small else tolerance
