"""The published Cross-stitch network, NDDR-CNN and MTAN on tiny widths: their weights in ours, and their numbers."""

import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

import torch

from mlore_mm.converters import SYSTEMS
from mlore_mm.registry import MODELS
from tests.golden_astmt import compare_norms, family_a_tasks, largest, unpacked
from tests.shared import shared_path


def _read(folder: Path, name: str) -> dict:
    tensors = {key: torch.load(folder / f'{name}_{key}.pth', weights_only=True) for key in ('expected', 'checkpoint')}
    return dict(tensors, meta=json.loads((folder / f'{name}_meta.json').read_text()))


class Golden:
    """One golden model: cross_stitch, nddr_cnn or mtan.

    Args:
        name: One of these.
        dtype: What is computed in.
        content: Its ``meta``, ``expected`` and ``checkpoint``; read from the reference data by default.
    """

    def __init__(self, name: str, dtype: torch.dtype, content: Mapping | None = None) -> None:
        self.name, self.dtype, self.table = name, dtype, SYSTEMS[name]
        content = content or _read(shared_path('golden/padnet_mtinet'), name)
        self.meta, self.expected, self.checkpoint = (content[key] for key in ('meta', 'expected', 'checkpoint'))

    def backbone(self) -> dict:
        meta = self.meta
        depth = dict(basic=18, bottleneck=50)[meta['block']]
        encoder = dict(
            type='DilatedResNet',
            depth=depth,
            stem_channels=meta['stem_channels'],
            planes=meta['planes'],
            blocks=meta['blocks_per_layer'],
        )
        if self.name == 'mtan':
            return dict(type='MTAN', encoder=encoder)
        kind = dict(cross_stitch='CrossStitch', nddr_cnn='NDDR')[self.name]
        exchange = dict(type=kind, alpha=meta['alpha'], beta=meta['beta'])
        return dict(type='EncodersInStep', encoder=encoder, exchange=exchange)

    @cached_property
    def model(self):
        meta = self.meta
        tasks = family_a_tasks(meta['num_outputs'], meta['edge_positive_weight'], meta['loss_weights'])
        width = list(meta['channels'].values())[-1]
        head = dict(type='DeepLabHead', in_channels=width, channels=8, dropout=0.0)
        return MODELS.build(
            dict(
                type='MultiTaskEncoderDecoder',
                tasks={name: tasks[name] for name in reversed(tasks)},
                backbone=self.backbone(),
                decode_head=dict(type='PerTaskHead', in_channels=[width], head=head),
            )
        ).to(self.dtype)

    def loss(self):
        """Maps at the size of the image, unweighted losses and their weighted total."""
        logits = self.model.decode(self.expected['input'].to(self.dtype)).logits
        targets = {name: self.expected['targets'][name] for name in self.model.tasks}
        output = type('Output', (), dict(logits=logits, auxiliary={}))
        weighted = self.model.criterion(output, targets)
        losses = {name: weighted[f'loss_{name}'] / task.loss_weight for name, task in self.model.tasks.items()}
        maps = {name: upsampled(x, self.meta['image_size']) for name, x in logits.items()}
        return maps, dict(losses, total=sum(weighted.values()))


def upsampled(x, size):
    return torch.nn.functional.interpolate(x, size=tuple(size), mode='bilinear', align_corners=False)


def run(golden: Golden) -> list[tuple[str, float, float]]:
    """(what, deviation, tolerance) of every number: evaluation, training, gradients, statistics, one SGD step."""
    model, expected = golden.model, golden.expected
    state, left_out = golden.table.to_ours(unpacked(golden.checkpoint))
    model.load_state_dict(state)
    assert not left_out
    exact = golden.dtype == torch.float64
    maps, scalars, norms = (1e-6, 1e-6, 1e-6) if exact else (1e-4, 1e-5, 1e-2 if golden.name == 'nddr_cnn' else 1e-3)
    rows = []

    def compare(what, found, wanted_maps, wanted_losses):
        rows.extend((f'{what} {k}', largest(found[0][k], x, not exact), maps) for k, x in wanted_maps.items())
        rows.extend((f'{what} {k}', abs(found[1][k].item() - x) / abs(x), scalars) for k, x in wanted_losses.items())

    with torch.no_grad():
        compare('evaluation', (model.eval(), golden.loss())[1], expected['eval_outputs'], expected['eval_losses'])
    found = (model.train(), golden.loss())[1]
    compare('training', found, expected['train_outputs'], expected['train_losses'])
    found[1]['total'].backward()
    with torch.no_grad():
        gradients = golden.table.to_published({key: p.grad for key, p in model.named_parameters()})
        rows.extend(compare_norms({k: g.norm().item() for k, g in gradients.items()}, expected['grad_norms'], norms))
        buffers = golden.table.to_published({k: x for k, x in model.named_buffers() if 'running' in k})
        buffers = {key: x for key, x in buffers.items() if key in expected['bn_after_forward']}
        rows.extend(
            (k, largest(buffers[k], x, False), max(norms, 1e-6)) for k, x in expected['bn_after_forward'].items()
        )
        for parameter in model.parameters():
            parameter -= expected['sgd_lr'] * parameter.grad
        after = (model.eval(), golden.loss())[1]
        compare('after a step', after, expected['after_step_eval_outputs'], {})
        compare('after a step', (model.train(), golden.loss())[1], {}, expected['after_step_train_losses'])
    return rows
