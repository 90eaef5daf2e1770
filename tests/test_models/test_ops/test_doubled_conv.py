"""The convolution of a doubled map against its definition, gradients included."""

import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

from mlore_mm.models.layers.section_decoder import ReflectConvELU
from mlore_mm.models.ops.doubled_conv import doubled_conv3x3


@pytest.mark.parametrize('size', [(5, 4), (1, 3), (1, 1)])
def test_it_is_upsampling_padding_and_convolution(size):
    torch.manual_seed(0)
    x = torch.randn(2, 3, *size, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(4, 3, 3, 3, dtype=torch.float64, requires_grad=True)
    bias = torch.randn(4, dtype=torch.float64, requires_grad=True)
    plain = F.conv2d(F.pad(F.interpolate(x, scale_factor=2), (1, 1, 1, 1), mode='reflect'), weight, bias)
    ours = doubled_conv3x3(x, weight, bias)
    assert_close(ours, plain)
    gradients = [torch.autograd.grad(out.square().sum(), (x, weight, bias)) for out in (ours, plain)]
    assert_close(*gradients)


def test_with_a_map_of_the_full_size_behind_it():
    torch.manual_seed(0)
    conv = ReflectConvELU(5, 4).double()
    x, skip = torch.randn(2, 3, 4, 5, dtype=torch.float64), torch.randn(2, 2, 8, 10, dtype=torch.float64)
    assert_close(conv(x, skip, doubled=True), conv(F.interpolate(x, scale_factor=2), skip))


def test_without_a_bias():
    x, weight = torch.randn(1, 2, 3, 2), torch.randn(4, 2, 3, 3)
    assert_close(doubled_conv3x3(x, weight), doubled_conv3x3(x, weight, torch.zeros(4)))
