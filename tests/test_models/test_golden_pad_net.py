"""PAD-Net and MTI-Net against the numbers of the published implementation, legacy layout and ours."""

import pytest
import torch

from mlore_mm.converters import MTI_NET
from mlore_mm.models.layers import FeaturePropagation
from mlore_mm.models.layers.initial_prediction import InitialPrediction
from mlore_mm.models.layers.residual_blocks import BasicBlock, BottleneckBlock
from tests.golden_astmt import Golden, run
from tests.shared import REPO

DATA = REPO / 'tests' / 'data' / 'padnet_mtinet'

MODELS = [
    ('padnet_nyud', ''),
    ('padnet_pascal', ''),
    ('mtinet_nyud', 'legacy'),
    ('mtinet_nyud', 'corrected'),
    ('mtinet_pascal', 'legacy'),
    ('mtinet_pascal', 'corrected'),
]


@pytest.mark.parametrize('dtype', [torch.float64, torch.float32], ids=['fp64', 'fp32'])
@pytest.mark.parametrize(('name', 'mode'), MODELS, ids=['-'.join(model) for model in MODELS])
def test_every_number(name, mode, dtype):
    rows = list(run(Golden(name, mode, dtype)))
    assert len(rows) > 100
    wrong = [
        f'{what}: {deviation:.2e} above {tolerance:.0e}'
        for what, deviation, tolerance in rows
        if not deviation <= tolerance
    ]
    assert not wrong, '\n'.join(wrong)


def test_essential_numbers_without_the_reference_data():
    wrong = [row for row in run(Golden('padnet_nyud', folder=DATA)) if not row[1] <= row[2]]
    assert not wrong


@pytest.mark.parametrize('mode', ['legacy', 'corrected'])
def test_what_is_propagated_without_the_reference_data(mode):
    file = torch.load(DATA / 'mtinet_nyud_scale_3.pth', weights_only=True)
    block = FeaturePropagation(list(file['features']), 33, mode == 'legacy').double().eval()
    state, _ = MTI_NET.to_ours(file['state'])
    prefix = 'decode_head.propagation.3.'
    missing, surplus = block.load_state_dict({k.removeprefix(prefix): x for k, x in state.items()}, strict=False)
    assert not surplus
    assert all(key.startswith('mask.') for key in missing)
    block.mask = torch.nn.Identity()
    block.mask.forward = lambda joint: file['fpm_logits']
    torch.testing.assert_close(block(file['features']), file['fpm'][mode], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize('mode', ['legacy', 'corrected'])
@pytest.mark.parametrize('name', ['mtinet_nyud', 'mtinet_pascal'])
def test_inside_of_a_scale(name, mode):
    golden = Golden(name, mode)
    head, wanted = golden.head().eval(), golden.expected['modules_eval']['scale_3']
    features = wanted['features']
    with torch.no_grad():
        joint = torch.cat([features[task] for task in head.task_order], dim=1)
        found = dict(
            fpm_logits=head.propagation['3'].mask(joint),
            fpm=head.propagation['3'](features),
            distilled=head.distillation[3](features),
        )
    for part, maps in found.items():
        torch.testing.assert_close(maps, wanted[part], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ('block', 'width', 'options', 'converted'),
    [
        (BasicBlock, 8, {}, False),
        (BasicBlock, 4, {}, True),
        (BasicBlock, 8, dict(stride=2), True),
        (BasicBlock, 8, dict(shortcut_conv=True), True),
        (BottleneckBlock, 8, dict(dilations=(3, 1)), False),
        (BottleneckBlock, 4, dict(stride=2), True),
    ],
)
def test_shortcuts_follow_widths_and_strides(block, width, options, converted):
    module = block(width, 8, **options).eval()
    stride = options.get('stride', 1)
    assert module(torch.randn(1, width, 6, 8)).shape == (1, 8, 6 // stride, 8 // stride)
    assert isinstance(module.downsample, torch.nn.Identity) is not converted
    convs = [m for m in module.modules() if isinstance(m, torch.nn.Conv2d)]
    assert all(conv.bias is None for conv in convs)
    assert [c.dilation[0] for c in convs if c.kernel_size == (3, 3)][0] == options.get('dilations', (1,))[0]
    assert block(4, 8, shortcut_conv=True).downsample[0].kernel_size == (1, 1)


def test_a_bottleneck_has_a_quarter_of_the_width():
    assert BottleneckBlock(6, 8).conv2.weight.shape == (2, 2, 3, 3)
    with pytest.raises(ValueError, match='multiple of 4, but got 6'):
        BottleneckBlock(8, 6)


def test_features_and_first_guesses_are_by_task():
    part = InitialPrediction(dict(a=2, b=3), 5, 4, BasicBlock).eval()
    inputs = {name: torch.randn(1, 5, 3, 4) for name in 'ab'}
    features = part(inputs)
    torch.testing.assert_close(features['b'], part.features['b'][1](part.features['b'][0](inputs['b'])))
    logits = part.logits(features, ['b'])
    torch.testing.assert_close(logits, dict(b=part.predict['b'](features['b'])))
