"""Cross-stitch, NDDR-CNN and MTAN, and HRNet, against the numbers of the published implementation."""

import runpy

import pytest
import torch
from torch.testing import assert_close

from mlore_mm.converters import join_single_tasks
from mlore_mm.registry import MODELS
from tests.golden_astmt import compare_norms, family_a_tasks, largest
from tests.golden_sharing import Golden, run
from tests.shared import REPO, shared_path


@pytest.mark.parametrize('dtype', [torch.float64, torch.float32], ids=['fp64', 'fp32'])
@pytest.mark.parametrize('name', ['cross_stitch', 'nddr_cnn', 'mtan'])
def test_every_number(name, dtype):
    rows = run(Golden(name, dtype))
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


@pytest.mark.parametrize(('depth', 'total'), [(18, 11_176_512), (34, 21_284_672), (50, 23_508_032), (101, 42_500_160)])
def test_numbers_of_parameters_are_torchvisions(depth, total):
    """Published totals less the classifier."""
    with torch.device('meta'):
        model = MODELS.build(dict(type='DilatedResNet', depth=depth))
    assert sum(p.numel() for p in model.parameters()) == total


def test_dilations_of_the_last_stages():
    """The formerly strided convolution of a stage has half the rate of the others; strides are 4, 8, 8 and 8."""
    options = dict(type='DilatedResNet', depth=18, stem_channels=4, planes=[4, 4, 6, 8])
    model = MODELS.build(dict(options, out_indices=(0, 1, 3)))
    rates = [
        [m.dilation[0] for m in getattr(model, f'layer{i}').modules() if getattr(m, 'kernel_size', 0) == (3, 3)]
        for i in range(1, 5)
    ]
    assert rates == [[1] * 4, [1] * 4, [1, 2, 2, 2], [2, 4, 4, 4]]
    maps = model(torch.randn(1, 3, 32, 48))
    assert [tuple(x.shape[1:]) for x in maps] == [(4, 8, 12), (4, 4, 6), (8, 4, 6)]
    with pytest.raises(ValueError, match=r'depth of \[18, 34, 50, 101\], but got 152'):
        MODELS.build(dict(type='DilatedResNet', depth=152))


@pytest.mark.parametrize('size', [(36, 48), (32, 44)])
def test_mtan_refuses_either_side(size):
    encoder = dict(type='DilatedResNet', depth=18, stem_channels=4, planes=[4, 4, 8, 8])
    with pytest.raises(ValueError, match='multiples of 8'):
        MODELS.build(dict(type='MTAN', encoder=encoder, tasks=dict(depth=0)))(torch.randn(1, 3, *size), ['depth'])


@pytest.mark.parametrize('kind', ['CrossStitch', 'NDDR'])
def test_what_a_task_takes_at_the_start(kind):
    """0.9 of its own and 0.1 of each other; NDDR's norm is one of small momentum and negative sums are cut off."""
    exchange = MODELS.build(dict(type=kind, tasks=['a', 'b', 'c'], channels=2)).eval()
    features = {name: torch.full((1, 2, 1, 1), value) for name, value in dict(a=1.0, b=2.0, c=-4.0).items()}
    found = exchange(features, ['c', 'a'])
    assert list(found) == ['c', 'a']
    assert_close(found['a'].flatten(), torch.full((2,), 0.7), rtol=1e-4, atol=0)
    assert_close(found['c'].flatten(), torch.full((2,), 0.0 if kind == 'NDDR' else -3.3), rtol=1e-4, atol=0)
    if kind == 'NDDR':
        assert exchange.mix['a'][1].momentum == 0.05
