"""Partially dynamic experts in a mixture; numbers are in test_golden_paddynamic.py."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from mlore_mm.models.layers import ExpertLinear, PadExpertLinear, PadMoELinear, TokenMixture
from mlore_mm.routing import TopKGate, trace_routing


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


def test_noise_in_training_is_softplus_and_recorded():
    """Weights of noise 0: a deviation of log 2 + 0.01; the gates are a softmax over the two chosen."""
    layer, x = PadMoELinear(6, 5, 4, name='x/moe'), torch.randn(2, 7, 6)
    for training in (True, False):
        with trace_routing() as trace:
            y = layer.train(training)(x, 'depth')
        (record,) = trace.records
        assert (record.layer, record.task, y.shape) == ('x/moe', 'depth', (2, 7, 5))
        assert ((record.gates > 0).sum(dim=-1) == 2).all()
        assert_close(record.gates.sum(dim=-1), torch.ones(2, 7))
        assert (record.noise_std is not None) is training
        if training:
            assert_close(record.noise_std, torch.full((2, 7, 4), torch.tensor(2.0).log().item() + 0.01))


def test_the_router_of_the_mixture_decides_in_full_precision():
    layer, x = PadMoELinear(6, 5, 4).eval(), torch.randn(2, 7, 6)
    nn.init.normal_(layer.gate_weight)
    with torch.autocast('cpu', dtype=torch.bfloat16), trace_routing() as trace:
        layer(x)
    assert_close(trace.records[0].logits, x @ layer.gate_weight)


@pytest.mark.parametrize('top_k', [0, 5])
def test_numbers_of_chosen_experts(top_k):
    with pytest.raises(ValueError, match=f'cannot choose top_k={top_k} of num_experts=4'):
        PadMoELinear(6, 5, 4, top_k)
    assert PadMoELinear(6, 5, 4, 4).gate.top_k == 4


def test_in_the_place_of_experts_without_biases():
    experts = ExpertLinear(3, 4, 6, bias=False).double()
    layer = PadExpertLinear.like(experts)
    assert layer.bias is None
    assert layer.weight.dtype == torch.float64
    biased = ExpertLinear(3, 4, 6)
    nn.init.normal_(biased.bias)
    assert torch.equal(PadExpertLinear.like(biased).bias, biased.bias)
    layer.compact()
    before = layer.dynamic_values.detach().clone()
    layer.init_weights()
    assert torch.equal(layer.dynamic_values, before)
