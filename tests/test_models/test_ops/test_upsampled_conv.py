import pytest
import torch
from torch.testing import assert_close

from mlore_mm.models.ops import UpsampledConv3x3


@pytest.mark.parametrize(('size', 'scale'), [((4, 6), 4), ((1, 5), 4), ((3, 2), 2), ((2, 2), 1)])
def test_equals_upsampling_then_convolution(size, scale):
    conv = UpsampledConv3x3(3, 5, scale).double()
    x = torch.randn(2, 3, *size, dtype=torch.float64, requires_grad=True)
    direction = torch.randn(2, 5, scale * size[0], scale * size[1], dtype=torch.float64)
    results = []
    for forward in (conv, conv.plain):
        out = forward(x)
        results.append((out, *torch.autograd.grad((out * direction).sum(), (x, conv.weight, conv.bias))))
    for ours, wanted in zip(*results, strict=True):
        assert_close(ours, wanted)
