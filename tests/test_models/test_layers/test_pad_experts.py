"""Partially dynamic experts in a mixture; numbers are in test_golden_paddynamic.py."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from mlore_mm.models.layers import PadExpertLinear, PadMoELinear, TokenMixture
from mlore_mm.routing import TopKGate


def make_mixture():
    torch.manual_seed(0)
    mixture = TokenMixture(6, 5, 4, 2)
    for name in ('fc1', 'fc2'):
        layer = PadExpertLinear.like(getattr(mixture, name))
        nn.init.constant_(layer.phi, -0.4)
        layer.mask.copy_((torch.rand_like(layer.mask) < 0.5).float())
        setattr(mixture, name, layer)
    return mixture.double()


def test_a_mixture_of_them_is_the_naive_sum():
    mixture, u = make_mixture(), torch.randn(3, 7, 6, dtype=torch.float64)
    routing = TopKGate(2, noise='none')(torch.randn(3, 7, 4, dtype=torch.float64))
    y = mixture(u, routing)
    assert_close(y, mixture.plain(u, routing))
    y.square().sum().backward()
    fast = [x.grad.clone() for x in mixture.parameters()]
    mixture.zero_grad()
    mixture.plain(u, routing).square().sum().backward()
    for ours, expected in zip(fast, (x.grad for x in mixture.parameters()), strict=True):
        assert_close(ours, expected)
    mixture.fc1.compact(), mixture.fc2.compact()
    assert_close(mixture(u, routing), y.detach(), rtol=1e-10, atol=1e-10)
    assert mixture.num_experts == 4


def test_with_a_mask_of_ones_they_are_the_experts_they_stand_for():
    mixture = TokenMixture(6, 5, 4, 2)
    layer = PadExpertLinear.like(mixture.fc1, static_init='mean')
    assert_close(layer.matrices(), mixture.fc1.weight)
    assert_close(layer.static, mixture.fc1.weight.mean(dim=0))
    assert layer.stored_numbers() == dict(fully_dynamic=120, training=150, compact=120)


def test_new_weights_give_a_new_static_weight():
    layer = PadExpertLinear(4, 6, 5, static_init='mean')
    nn.init.ones_(layer.weight)
    layer.settle()
    assert_close(layer.static, torch.ones(5, 6))


def test_the_published_mixture_is_the_naive_sum():
    torch.manual_seed(0)
    layer = PadMoELinear(6, 5, 4, 2).eval()
    nn.init.normal_(layer.gate_weight)
    x = torch.randn(2, 7, 6)
    assert_close(layer(x), layer.plain(x))


def test_some_of_the_experts_are_kept():
    mixture, u = make_mixture(), torch.randn(7, 6, dtype=torch.float64)
    kept = torch.tensor([0, 2])
    logits = torch.full((7, 4), -1e9, dtype=torch.float64)
    logits[:, kept] = torch.randn(7, 2, dtype=torch.float64)
    wanted = mixture(u, TopKGate(2, noise='none')(logits))
    mixture.keep_experts(kept)
    assert mixture.num_experts == 2
    assert_close(mixture(u, TopKGate(2, noise='none')(logits[:, kept])), wanted)
    mixture.fc1.compact()
    with pytest.raises(ValueError, match='before a partially dynamic layer is made compact'):
        mixture.keep_experts(kept[:1])
