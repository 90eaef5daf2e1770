"""Limits of a partially dynamic convolution in which it is something known."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.testing import assert_close

from mlore_mm.models.layers import PadConv2d
from mlore_mm.models.layers.pad_conv import KernelAttention

X = torch.randn(3, 8, 6, 7, generator=torch.Generator().manual_seed(0))


def test_a_mask_of_zeros_is_an_ordinary_convolution():
    conv = PadConv2d(8, 4, 3, padding=1, bias=False)
    conv.mask.zero_()
    assert_close(conv(X), F.conv2d(X, conv.static, padding=1))


def test_one_kernel_with_a_mask_of_ones_is_static():
    conv = PadConv2d(8, 4, 3, padding=1, num_kernels=1)
    assert_close(conv(X), F.conv2d(X, conv.kernels[0], conv.bias[0], padding=1))


def test_a_mask_of_ones_is_a_mixture_of_convolutions():
    conv = PadConv2d(8, 4, 3, stride=2, dilation=2, groups=2, num_kernels=3)
    shares = conv.attention(X)
    single = [F.conv2d(X, w, b, stride=2, dilation=2, groups=2) for w, b in zip(conv.kernels, conv.bias, strict=True)]
    assert_close(conv(X), torch.einsum('bk,kbchw->bchw', shares, torch.stack(single)))


def test_the_form_for_export_is_the_same():
    conv = PadConv2d(8, 4, 3, stride=2, padding=1, groups=2)
    conv.mask[:, ::2] = 0
    nn.init.constant_(conv.phi, 0.5)
    assert_close(conv.plain(X, conv.attention(X)), conv(X))


def test_a_batch_is_its_images():
    conv = PadConv2d(8, 4, 3, padding=1)
    conv.mask[:, ::2] = 0
    assert_close(conv(X), torch.cat([conv(x[None]) for x in X]))


def test_high_temperature_makes_shares_even():
    conv = PadConv2d(8, 4, 3)
    sharp = conv.attention(20 * X).max()
    conv.attention.temperature.fill_(1000)
    assert_close(conv.attention(20 * X), torch.full((3, 4), 0.25), atol=1e-2, rtol=0)
    assert sharp > 0.35


def test_tasks_choose_kernels():
    conv = PadConv2d(8, 4, 3, num_tasks=2)
    assert_close(conv(X, 0), conv(X, 1))  # the embeddings are 0 at first
    nn.init.normal_(conv.attention.task_embedding)
    ids = torch.tensor([1, 0, 1])
    expected = torch.stack([conv(X, int(task))[i] for i, task in enumerate(ids)])
    assert_close(conv(X, ids), expected)
    assert not torch.allclose(conv(X, 0), conv(X, 1))
    with pytest.raises(ValueError, match='told the task'):
        conv(X)


def test_half_precision_keeps_the_choice_in_full():
    conv = PadConv2d(8, 4, 3, padding=1)
    seen = []
    conv.attention.register_forward_hook(lambda module, args, out: seen.append(out))
    with torch.autocast('cpu', dtype=torch.bfloat16):
        y = conv(X.bfloat16())
    assert y.dtype == torch.bfloat16
    assert seen[0].dtype == torch.float32
    assert_close(y.float(), conv(X), atol=0.1, rtol=0.1)


def test_in_the_place_of_a_convolution():
    conv = nn.Conv2d(8, 6, 3, stride=2, padding=1, groups=2, bias=False)
    dynamic = PadConv2d.like(conv, num_kernels=2)
    assert dynamic(X).shape == conv(X).shape
    assert dynamic.bias is None
    with pytest.raises(ValueError, match='pads with zeros'):
        PadConv2d.like(nn.Conv2d(8, 6, 3, padding='same'))
    with pytest.raises(ValueError, match='num_kernels=0|got 0'):
        PadConv2d.like(conv, num_kernels=0)


def test_attention_by_hand():
    """One hidden unit: relu(2 * mean), then logits (m, -m) over the temperature, and a bias."""
    attention = KernelAttention(2, 2, reduction=16)
    assert attention.fc1.weight.shape == (1, 2)
    with torch.no_grad():
        attention.fc1.weight.fill_(1.0)
        attention.fc2.weight.copy_(torch.tensor([[1.0], [-1.0]]))
        attention.fc2.bias.copy_(torch.tensor([0.5, 0.0]))
        attention.temperature.fill_(4.0)
    x = torch.tensor([[1.0, 3.0], [2.0, 2.0]]).view(1, 2, 1, 2)  # means 2 and 2
    assert_close(attention(x), torch.tensor([[4.5, -4.0]]).div(4).softmax(-1))
    assert_close(attention(-x), torch.tensor([[0.5, 0.0]]).div(4).softmax(-1))
    assert KernelAttention(64, 4, reduction=4).fc1.weight.shape == (16, 64)


def test_start_is_kaiming_by_fan_out():
    """Deviations of sqrt(2 / outputs), in the constructor and again; biases 0."""
    conv = PadConv2d(256, 128, 1, reduction=2, num_kernels=3, groups=2)
    for _ in range(2):
        assert conv.attention.fc1.weight.std().item() == pytest.approx((2 / 128) ** 0.5, rel=0.05)
        assert conv.attention.fc2.weight.std().item() == pytest.approx((2 / 3) ** 0.5, rel=0.15)
        for weight in (conv.kernels, conv.static):
            assert weight.std().item() == pytest.approx((2 / 128) ** 0.5, rel=0.05)
        assert max(x.abs().max() for x in (conv.bias, conv.attention.fc2.bias)) == 0
        for parameter in conv.parameters():
            nn.init.ones_(parameter)
        conv.init_weights()


def test_a_compact_layer_keeps_its_weights():
    conv = PadConv2d(8, 4, 3)
    conv.compact()
    before = conv.dynamic_values.detach().clone()
    conv.init_weights()
    assert torch.equal(conv.dynamic_values, before)


def test_options_of_the_convolution_it_replaces():
    conv = nn.Conv2d(8, 4, (3, 1), stride=(2, 1), padding=(1, 0), dilation=(2, 1), dtype=torch.float64)
    dynamic = PadConv2d.like(conv, num_kernels=1)
    with torch.no_grad():
        dynamic.kernels[0], dynamic.bias[0] = conv.weight, conv.bias
    assert_close(dynamic(X.double()), conv(X.double()))


def test_traced_files_hold_the_plain_form():
    conv = PadConv2d(8, 4, 3, bias=False).eval()
    traced = torch.jit.trace(conv, X[:1], check_trace=False)
    assert_close(traced(X), conv(X))  # any number of images


def test_biases_of_an_ordinary_convolution_without_attention():
    """A checkpoint has neither biases per kernel nor an attention: it is asked for none."""
    state = nn.Conv2d(8, 4, 3).state_dict()
    conv = PadConv2d(8, 4, 3, num_kernels=2)
    start = conv.attention.fc1.weight.detach().clone()
    conv.load_state_dict(state)
    assert torch.equal(conv.bias, state['bias'].expand(2, 4))
    assert torch.equal(conv.attention.fc1.weight, start)
