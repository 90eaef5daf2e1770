"""Partially dynamic factors of MLoRE's shared experts."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from mlore_mm.models.layers import LowRankExpertBank, PadConv2d
from mlore_mm.models.mode_partition import partition
from mlore_mm.models.partially_dynamic import apply_rules, compact_layers, describe, partial_layers
from tests.mlore_models import build_mlore, make_samples, randomise

RULE = dict(modules='decode_head*.experts')


def make_bank():
    torch.manual_seed(0)
    bank = LowRankExpertBank(6, [2, 4, 3]).double()
    before = bank.reduce.weight.detach().clone()
    bank.share_weights()
    assert_close(bank.reduce.weight, before)  # with a mask of ones
    nn.init.constant_(bank.reduce.phi, 0.6)
    bank.reduce.mask.copy_((torch.rand_like(bank.reduce.mask) < 0.5).double())
    return bank


def test_an_expert_takes_the_first_rows_of_mask_and_static_weight():
    reduce = make_bank().reduce
    by_input, fixed = reduce.factors()
    own = reduce.kernels.split([2, 4, 3])
    expected = [
        reduce.mask[: len(w)] * by_input * w + (1 - reduce.mask[: len(w)]) * fixed * reduce.static[: len(w)]
        for w in own
    ]
    assert_close(reduce.weight, torch.cat(expected))


def test_the_bank_is_the_sum_of_its_experts_and_compact_the_same():
    bank = make_bank()
    u, gates = torch.randn(2, 6, 5, 4, dtype=torch.float64), torch.rand(2, 3, dtype=torch.float64)
    y = bank(u, gates)
    assert_close(y, sum(gates[:, i, None, None, None] * bank.expert(i, u) for i in range(3)))
    stored = bank.reduce.stored_numbers()
    assert stored['fully_dynamic'] == 9 * 6 * 9
    assert stored['training'] == (9 + 4) * 6 * 9
    bank.reduce.compact()
    assert_close(bank(u, gates), y, rtol=1e-12, atol=1e-12)
    assert bank.reduce.stored_numbers() == stored
    assert bank.reduce.dynamic_values.numel() + bank.reduce.static_values.numel() == stored['compact']
    other = make_bank()
    other.load_state_dict(bank.state_dict())
    assert_close(other(u, gates), y, rtol=1e-12, atol=1e-12)


def test_weights_of_ordinary_experts_load():
    plain, bank = LowRankExpertBank(6, [2, 4, 3]), make_bank().float()
    bank.load_state_dict(plain.state_dict())
    assert_close(bank.reduce.weight, plain.reduce.weight)


def test_new_weights_reach_the_stack():
    bank = make_bank()
    nn.init.zeros_(bank.reduce.kernels)
    bank.init_weights()
    assert bank.reduce.kernels.abs().sum() > 0
    assert bank.reduce.static.abs().sum() > 0


@pytest.mark.parametrize('score', ['snip', 'magnitude'])
def test_forms_of_the_block_agree_after_a_partition(score):
    model = build_mlore()
    names = apply_rules(model, [RULE])
    assert len(names) > 0
    randomise(model)
    layers = partial_layers(model)
    for layer in layers.values():
        layer.mask.fill_(1)
    model.eval()
    images = torch.randn(2, 3, 32, 48, generator=torch.Generator().manual_seed(0))
    samples = make_samples(model, images)

    def losses():
        yield sum(x for name, x in model(images, samples, mode='loss').items() if 'loss' in name)

    partition(list(layers.values()), losses, 0.4, score=score)
    assert 'together' in describe(layers)
    outputs = {}
    for form in ('literal', 'wide', 'folded'):
        for module in model.modules():
            if hasattr(module, 'choose_mixture'):
                module.form = form
        with torch.no_grad():
            outputs[form] = model(images)
    compact_layers(model)
    with torch.no_grad():
        outputs['compact'] = model(images)
        model.switch_to_deploy()
        outputs['deployed'] = model(images)
    for form, output in outputs.items():
        for task, logits in output.items():
            assert_close(logits, outputs['literal'][task], rtol=1e-3, atol=1e-4, msg=lambda m, f=form: f'{f}: {m}')


def test_the_generic_convolution_by_image():
    model = build_mlore()
    with pytest.raises(ValueError, match='matches no convolution'):
        apply_rules(model, [dict(modules='*.generic')])
    apply_rules(model, [dict(modules='*.generic_conv', num_kernels=2)])
    layers = partial_layers(model)
    assert all(isinstance(layer, PadConv2d) for layer in layers.values())
    images = torch.randn(2, 3, 32, 48)
    model.eval()
    with torch.no_grad():
        expected = model(images)
        model.switch_to_deploy()
        for task, logits in model(images).items():
            assert_close(logits, expected[task], rtol=1e-4, atol=1e-5)
    model.train()
    sum(x for n, x in model(images, make_samples(model, images), mode='loss').items() if 'loss' in n).backward()
    assert all(layer.dynamic_values.grad is not None for layer in layers.values())


def test_layers_whose_weights_are_read_elsewhere_are_left_alone():
    model = build_mlore()
    names = apply_rules(model, [dict(modules='decode_head*reduce'), RULE][1:])
    assert all(name.endswith('experts') for name in names)
    with pytest.raises(ValueError, match='matches no convolution'):
        apply_rules(build_mlore(), [dict(modules='*.task_expert.*')])


def test_a_compact_bank_keeps_its_kernels():
    bank = make_bank()
    bank.reduce.compact()
    before = bank.reduce.dynamic_values.detach().clone()
    nn.init.ones_(bank.reduce.bias)
    bank.init_weights()
    assert torch.equal(bank.reduce.dynamic_values, before)
    assert bank.reduce.bias.abs().max() == 0


def test_the_static_weight_may_start_as_the_mean():
    """Of the experts that reach so far: of ranks 2 and 1 the first rows have two, the second row has one."""
    bank = LowRankExpertBank(4, [2, 1])
    bank.share_weights(static_init='mean', scale='none')
    first, second, other = bank.reduce.kernels
    assert_close(bank.reduce.static, torch.stack([(first + other) / 2, second]))
    assert bank.reduce.phi is None
