"""Rules of a config that make layers of a model partially dynamic."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from mlore_mm.engine.checkpoints.weights import fill_model
from mlore_mm.models.layers import PadConv2d, PadExpertLinear
from mlore_mm.models.partially_dynamic import apply_rules, compact_layers, describe, partial_layers
from tests.mlore_models import randomise
from tests.systems import SYSTEMS, batch


def build(**options):
    return SYSTEMS['pad_dynamic'].build(**options)


def split(model) -> None:
    """Every second entry static."""
    for layer in partial_layers(model).values():
        layer.mask.fill_(1).flatten()[::2] = 0


def test_rules_replace_what_they_name():
    model = build()
    layers = partial_layers(model)
    assert set(layers) == {f'decode_head.heads.{task}.0' for task in model.tasks}
    assert all(isinstance(layer, PadConv2d) and layer.count == 3 for layer in layers.values())


def test_experts_of_an_encoder():
    rule = dict(modules=['backbone.layers.*.mixture.fc?'], static_init='mean')
    model = SYSTEMS['m3vit'].build(partially_dynamic=[rule])
    layers = partial_layers(model)
    assert len(layers) == 4
    assert all(isinstance(layer, PadExpertLinear) for layer in layers.values())
    split(model)
    model.eval()
    images, _ = batch(model, (64, 96))
    expected = model(images)
    compact_layers(model)
    for task, logits in model(images).items():
        assert_close(logits, expected[task], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('system', ['mod_squad', 'fgmoe'])
def test_experts_of_other_systems(system):
    model = SYSTEMS[system].build(partially_dynamic=[dict(modules='*.fc1'), dict(modules=['*.query', '*.fc2'])][:1])
    split(model)
    images, samples = batch(model, SYSTEMS[system].size)
    sum(x for name, x in model(images, samples, mode='loss').items() if 'loss' in name).backward()
    gradients = [layer.static.grad for layer in partial_layers(model).values()]
    assert gradients
    assert all(grad.abs().sum() > 0 for grad in gradients)


def test_a_deployed_model_is_compact_and_its_weights_load():
    model = build()
    split(model)
    model.eval()
    images, _ = batch(model, (64, 96))
    expected, before = model(images), sum(x.numel() for x in model.parameters())
    model.switch_to_deploy()
    for task, logits in model(images).items():
        assert_close(logits, expected[task], rtol=1e-4, atol=1e-5)
    layers = partial_layers(model)
    saved = [layer.stored_numbers() for layer in layers.values()]
    after = sum(x.numel() for x in model.parameters())
    phis = len(layers)
    assert before - after == sum(x['training'] - x['compact'] for x in saved) + phis
    other = build().eval()
    fill_model(other, model.state_dict(), 'compact.pth', ())
    for task, logits in other(images).items():
        assert_close(logits, expected[task], rtol=1e-4, atol=1e-5)


def test_weights_of_the_ordinary_model(caplog):
    plain = build(partially_dynamic=[])
    model = build()
    randomise(model, 1)
    fill_model(model, plain.state_dict(), 'plain.pth', None)
    assert 'no place in this model' not in caplog.text
    images, _ = batch(model, (64, 96))
    expected = plain.eval()(images)
    for task, logits in model.eval()(images).items():
        assert_close(logits, expected[task], rtol=1e-4, atol=1e-5)


def test_the_table_adds_up():
    model = nn.Sequential(nn.Conv2d(2, 3, 3), nn.Conv2d(3, 4, 1))
    assert apply_rules(model, [dict(modules='0', num_kernels=2), dict(modules='*', num_kernels=3)]) == ['0', '1']
    model[0].mask[0] = 0
    lines = describe(partial_layers(model)).splitlines()
    assert lines[1:] == [
        '0 | 2 | 0.667 | 108 | 162 | 90',
        '1 | 3 | 1.000 | 36 | 48 | 36',
        'together | | | 144 | 210 | 126',
    ]


def test_a_layer_of_another_kind_is_left_alone():
    class Special(nn.Conv2d):
        """Whose owner reads its weight."""

    model = nn.Sequential(nn.Conv2d(2, 3, 3), Special(3, 4, 1))
    assert apply_rules(model, [dict(modules='*')]) == ['0']
    assert type(model[1]) is Special


@pytest.mark.parametrize(
    ('rule', 'message'),
    [
        (dict(modules='head.*'), r'matches no convolution and no experts. There are decode_head.conv.'),
        (dict(num_kernels=2), 'names its `modules`'),
        (dict(modules='*', kernels=2), 'decode_head.conv becomes a PadConv2d, which does not take'),
    ],
)
def test_rules_that_cannot_be(rule, message):
    model = nn.ModuleDict(dict(decode_head=nn.ModuleDict(dict(conv=nn.Conv2d(2, 3, 3)))))
    with pytest.raises(ValueError, match=message):
        apply_rules(model, [rule])
    assert torch.is_tensor(model.decode_head.conv.weight)


def test_a_layer_whose_owner_reads_its_weights_is_left_alone():
    class Owner(nn.Module):
        reads_weights_of = ('read',)

        def __init__(self):
            super().__init__()
            self.read, self.called = nn.Conv2d(2, 3, 3), nn.Conv2d(2, 3, 3)

    model = nn.ModuleDict(dict(owner=Owner()))
    assert apply_rules(model, [dict(modules='*')]) == ['owner.called']
    assert type(model['owner'].read) is nn.Conv2d
