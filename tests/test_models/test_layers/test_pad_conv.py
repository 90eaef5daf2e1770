"""Limits of a partially dynamic convolution in which it is something known."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.testing import assert_close

from mlore_mm.models.layers import PadConv2d

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
