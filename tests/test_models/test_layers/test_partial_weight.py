"""What both kinds of partially dynamic layers share: compact form, checkpoints, the start of the static weight."""

import copy

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from mlore_mm.models.layers import ExpertLinear, PadConv2d, PadExpertLinear


def make(kind: str):
    torch.manual_seed(0)
    if kind == 'conv':
        layer = PadConv2d(4, 6, 3, padding=1, num_kernels=3)
        nn.init.normal_(layer.bias)
    else:
        layer = PadExpertLinear(5, 4, 6)
    nn.init.constant_(layer.phi, 0.7)
    layer.mask.copy_((torch.rand_like(layer.mask) < 0.4).float())
    return layer.double()


def outputs(layer):
    if isinstance(layer, PadConv2d):
        torch.manual_seed(1)
        return layer(torch.randn(3, 4, 5, 7, dtype=torch.float64))
    return layer.matrices()


@pytest.mark.parametrize('kind', ['conv', 'experts'])
def test_compact_gives_the_same_and_survives_a_checkpoint(kind):
    layer = make(kind)
    expected, kappa, stored = outputs(layer), layer.kappa, layer.stored_numbers()
    before = make(kind)
    before.load_state_dict(layer.state_dict())
    assert_close(outputs(before), expected)
    layer.compact()
    assert_close(outputs(layer), expected, rtol=1e-12, atol=1e-12)
    assert (layer.kappa, layer.stored_numbers()) == (kappa, stored)
    assert sum(x.numel() for n, x in layer.named_parameters() if n.endswith('values')) == stored['compact']
    for other in (make(kind), copy.deepcopy(layer)):  # one not compact; one whose partition is another
        other.mask.fill_(1) if not other.is_compact else None
        other.load_state_dict(layer.state_dict())
        assert other.is_compact
        assert_close(outputs(other), expected, rtol=1e-12, atol=1e-12)
    layer.compact()  # once is enough
    outputs(layer).sum().backward()
    assert layer.static_values.grad is not None


def test_a_compact_layer_takes_another_partition():
    layer, other = make('conv'), make('conv')
    other.mask.copy_(1 - other.mask)
    expected = outputs(other)
    layer.compact(), other.compact()
    layer.load_state_dict(other.state_dict())
    assert_close(outputs(layer), expected, rtol=1e-12, atol=1e-12)


def test_weights_of_an_ordinary_convolution():
    conv, layer = nn.Conv2d(4, 6, 3, padding=1), PadConv2d(4, 6, 3, padding=1, num_kernels=3)
    layer.load_state_dict(conv.state_dict())
    x = torch.randn(2, 4, 5, 6)
    assert_close(layer(x), conv(x))
    layer.mask.zero_()
    layer.attention.fc2.weight.data.zero_()
    assert_close(layer(x), conv(x))


def test_weights_of_ordinary_experts():
    experts, layer = ExpertLinear(3, 4, 6), PadExpertLinear(3, 4, 6)
    layer.load_state_dict(experts.state_dict())
    assert_close(layer.matrices(), experts.weight)
    assert_close(layer.static, experts.weight.mean(dim=0))


def test_missing_weights_are_still_missed():
    state = make('experts').state_dict()
    del state['weight']
    with pytest.raises(RuntimeError, match='Missing key.*weight'):
        make('experts').load_state_dict(state)


def test_the_static_weight_starts_as_told():
    layer = PadConv2d(4, 6, 3, static_init='mean')
    assert_close(layer.static, layer.kernels.mean(dim=0))
    layer = PadConv2d(32, 64, 3)
    assert layer.static.std().item() == pytest.approx((2 / (9 * 64)) ** 0.5, rel=0.05)
    assert layer.kernels.std().item() == pytest.approx((2 / (9 * 64)) ** 0.5, rel=0.05)
    with pytest.raises(ValueError, match="'median'"):
        PadConv2d(4, 6, 3, static_init='median')


@pytest.mark.parametrize(
    ('scale', 'dynamic', 'static'), [('both', 1.5, 0.5), ('d', 1.5, 1.0), ('s', 1.0, 0.5), ('none', 1.0, 1.0)]
)
def test_factors_by_hand(scale, dynamic, static):
    """phi = log 3: 2 sigmoid is 3/2, and the rest to 2. Two kernels with shares 1/4 and 3/4."""
    layer = PadConv2d(1, 1, (1, 2), num_kernels=2, scale=scale)
    if scale == 'none':
        assert layer.phi is None
    else:
        assert layer.phi.item() == 0
        nn.init.constant_(layer.phi, torch.tensor(3.0).log())
    with torch.no_grad():
        layer.kernels.copy_(torch.tensor([[4.0, 4.0], [8.0, 8.0]]).view(2, 1, 1, 1, 2))
        layer.static.copy_(torch.tensor([10.0, 20.0]).view(1, 1, 1, 2))
        layer.mask[..., 1] = 0
    wanted = torch.tensor([7 * dynamic, 20 * static])
    assert_close(layer.combine(torch.tensor([[0.25, 0.75]])).flatten(), wanted)
    assert layer.kappa == 0.5
    assert layer.stored_numbers() == dict(fully_dynamic=4, training=6, compact=3)
    layer.compact()
    assert_close(layer.combine(torch.tensor([[0.25, 0.75]])).flatten(), wanted)


def test_an_unknown_scale_is_named():
    with pytest.raises(ValueError, match="knows scale .* but got 'k'"):
        PadConv2d(4, 6, 3, scale='k')


def test_experts_start_their_static_weight_with_their_deviation():
    layer = PadExpertLinear(3, 40, 60)
    nn.init.normal_(layer.weight, std=3.0)
    layer.settle()
    assert layer.static.std().item() == pytest.approx(3.0, rel=0.1)
    with torch.device('meta'):
        assert PadExpertLinear(3, 4, 6).static.is_meta  # nothing to draw
