"""Cross-stitch, NDDR-CNN and MTAN, and HRNet, against the numbers of the published implementation."""

import json
import runpy
from functools import cached_property

import pytest
import torch
from torch.testing import assert_close

from mlore_mm.converters import SYSTEMS, join_single_tasks
from mlore_mm.registry import MODELS
from tests.golden_astmt import compare_norms, family_a_tasks, largest
from tests.shared import REPO, shared_path


class Golden:
    def __init__(self, name: str, dtype: torch.dtype) -> None:
        folder = shared_path('golden/padnet_mtinet')
        self.name, self.dtype, self.table = name, dtype, SYSTEMS[name]
        self.meta = json.loads((folder / f'{name}_meta.json').read_text())
        self.expected = torch.load(folder / f'{name}_expected.pth', weights_only=True)
        self.checkpoint = torch.load(folder / f'{name}_checkpoint.pth', weights_only=True)

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


@pytest.mark.parametrize('dtype', [torch.float64, torch.float32], ids=['fp64', 'fp32'])
@pytest.mark.parametrize('name', ['cross_stitch', 'nddr_cnn', 'mtan'])
def test_every_number(name, dtype):
    golden = Golden(name, dtype)
    model, expected = golden.model, golden.expected
    state, left_out = golden.table.to_ours(golden.checkpoint)
    model.load_state_dict(state)
    assert not left_out
    exact = dtype == torch.float64
    maps, scalars, norms = (1e-6, 1e-6, 1e-6) if exact else (1e-4, 1e-5, 1e-2 if name == 'nddr_cnn' else 1e-3)
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
    wrong = [f'{what}: {deviation:.2e} above {limit:.0e}' for what, deviation, limit in rows if not deviation <= limit]
    assert len(rows) > 100
    assert not wrong, '\n'.join(wrong)


@pytest.mark.parametrize('name', ['cross_stitch', 'nddr_cnn'])
def test_where_training_starts(name):
    golden = Golden(name, torch.float32)
    ours, initial = golden.table.to_published(golden.model.state_dict()), golden.expected['initial_values']
    if name == 'cross_stitch':
        assert all((ours[key] == value).all() for key, value in initial.items())
    else:
        assert_close(ours[initial['layer']], initial['value'])


def test_hrnet_is_that_of_mmseg():
    folder = shared_path('golden/padnet_mtinet')
    expected = torch.load(folder / 'hrnet_expected.pth', weights_only=True)
    basic = dict(block='BASIC')
    extra = dict(
        stage1=dict(num_modules=1, num_branches=1, block='BOTTLENECK', num_blocks=(2,), num_channels=(4,)),
        stage2=dict(num_modules=1, num_branches=2, num_blocks=(2, 2), num_channels=(4, 6), **basic),
        stage3=dict(num_modules=2, num_branches=3, num_blocks=(1,) * 3, num_channels=(4, 6, 5), **basic),
        stage4=dict(num_modules=1, num_branches=4, num_blocks=(1,) * 4, num_channels=(4, 6, 5, 8), **basic),
    )
    norm = dict(type='BN', momentum=0.01)
    model = MODELS.build(dict(type='mmseg.HRNet', norm_cfg=norm, norm_eval=False, extra=extra)).double()
    state = torch.load(folder / 'hrnet_checkpoint.pth', weights_only=True)
    model.load_state_dict({key.removeprefix('module.'): x for key, x in state.items()})
    image = expected['input'].double()
    model.eval()  # not chained: mmseg's HRNet.train returns nothing
    with torch.no_grad():
        for ours, wanted in zip(model(image), expected['eval_outputs'], strict=True):
            assert largest(ours, wanted, absolute=False) < 1e-6
    model.train()
    outputs = model(image)
    loss = sum((x * probe).mean() for x, probe in zip(outputs, expected['probe'], strict=True))
    assert loss.item() == pytest.approx(expected['probe_loss'], rel=1e-6)
    loss.backward()
    norms = {f'module.{key}': p.grad.norm().item() for key, p in model.named_parameters()}
    assert all(row[1] <= row[2] for row in compare_norms(norms, expected['grad_norms'], 1e-6))
    buffers = dict(model.named_buffers())
    for key, wanted in expected['bn_after_forward'].items():
        assert largest(buffers[key.removeprefix('module.')], wanted, absolute=False) < 1e-6


def test_single_task_models_are_the_start(tmp_path, capsys):
    encoder = dict(type='DilatedResNet', depth=18, stem_channels=4, planes=[4, 4, 6, 8])
    head = dict(
        type='PerTaskHead',
        in_channels=[8],
        head=dict(type='DeepLabHead', in_channels=8, channels=4, dilations=(1, 2, 3)),
    )
    tasks = family_a_tasks(dict(semseg=4, depth=1))
    options = dict(type='MultiTaskEncoderDecoder', decode_head=head)
    files = []
    for name in tasks:
        single = MODELS.build(dict(options, tasks={name: tasks[name]}, backbone=encoder))
        torch.save(dict(state_dict=single.state_dict()), tmp_path / f'{name}.pth')
        files.append(f'{name}={tmp_path / name}.pth')
    tool = runpy.run_path(str(REPO / 'tools' / 'model_converters' / 'join_single_tasks.py'))
    tool['main']([str(tmp_path / 'start.pth'), '--from', *files])
    assert 'semseg, depth' in capsys.readouterr().out
    joined = torch.load(tmp_path / 'start.pth', weights_only=True)['state_dict']
    backbone = dict(type='EncodersInStep', encoder=encoder, exchange=dict(type='CrossStitch', alpha=1.0, beta=0.0))
    model = MODELS.build(dict(options, tasks=tasks, backbone=backbone)).eval()
    missing, surplus = model.load_state_dict(joined, strict=False)
    assert not surplus
    assert all('exchange' in key for key in missing)
    image = torch.randn(1, 3, 32, 48)
    assert_close(model(image)['depth'], single.eval()(image)['depth'])  # nothing is exchanged yet
    with pytest.raises(ValueError, match=r"for the task 'sal' have heads for \['depth'\]"):
        join_single_tasks(dict(sal=single.state_dict()))


def test_mtan_refuses_sides_that_do_not_halve():
    encoder = dict(type='DilatedResNet', depth=18, stem_channels=4, planes=[4, 4, 8, 8])
    model = MODELS.build(dict(type='MTAN', encoder=encoder, tasks=dict(depth=0)))
    with pytest.raises(ValueError, match=r'multiples of 8, but got \(32, 44\)'):
        model(torch.randn(1, 3, 32, 44), ['depth'])
