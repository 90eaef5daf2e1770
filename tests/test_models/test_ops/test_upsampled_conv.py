import pytest
import torch
from torch.testing import assert_close

from mlore_mm.models.ops import UpsampledConv3x3
from mlore_mm.models.ops.upsampled_conv import Upsampled, conv3x3_of_sum


@pytest.mark.parametrize(
    ('size', 'scale', 'dilation'), [((4, 6), 4, 1), ((1, 5), 4, 1), ((3, 2), 2, 1), ((2, 2), 1, 1), ((3, 5), 2, 2)]
)
def test_equals_upsampling_then_convolution(size, scale, dilation):
    conv = UpsampledConv3x3(3, 5, scale, dilation).double()
    x = torch.randn(2, 3, *size, dtype=torch.float64, requires_grad=True)
    direction = torch.randn(2, 5, scale * size[0], scale * size[1], dtype=torch.float64)
    results = []
    for forward in (conv, conv.plain):
        out = forward(x)
        results.append((out, *torch.autograd.grad((out * direction).sum(), (x, conv.weight, conv.bias))))
    for ours, wanted in zip(*results, strict=True):
        assert_close(ours, wanted)


def test_convolution_of_a_sum_of_enlarged_and_projected_maps():
    """Borders included: the bias of a projection ends where the padding begins."""
    conv = torch.nn.Conv2d(4, 5, 3, padding=1).double()
    points = [None, torch.nn.Conv2d(3, 4, 1).double(), torch.nn.Conv2d(2, 4, 1, bias=False).double()]
    maps = [torch.randn(2, c, n, n + 1, dtype=torch.float64, requires_grad=True) for c, n in ((4, 2), (3, 4), (2, 8))]
    scales = (8, 4, 2)
    weights = [p for module in (conv, *points) if module is not None for p in module.parameters()]
    terms = [
        Upsampled(x[..., : x.shape[-2]], s, point and point.weight[:, :, 0, 0], point and point.bias)
        for x, s, point in zip(maps, scales, points, strict=True)
    ]
    total = sum(
        torch.nn.functional.interpolate(point(term.x) if point else term.x, scale_factor=term.scale, mode='bilinear')
        for term, point in zip(terms, points, strict=True)
    )
    results = []
    for out in (conv3x3_of_sum(terms, conv.weight, conv.bias), conv(total)):
        results.append((out, *torch.autograd.grad((out * out.detach().sin()).sum(), [*maps, *weights])))
    for ours, wanted in zip(*results, strict=True):
        assert_close(ours, wanted)


def test_it_is_an_ordinary_convolution_to_others():
    """Four times as large unless told, with and without a bias, in half precision as well."""
    conv = UpsampledConv3x3(3, 5, bias=False)
    assert conv(torch.zeros(1, 3, 2, 3)).shape == (1, 5, 8, 12)
    assert conv.bias is None
    conv, x = UpsampledConv3x3(3, 5, scale=2), torch.randn(1, 3, 4, 6)
    assert conv(x.bfloat16().to(x)).shape == conv.plain(x).shape
    assert conv.dilation == (1, 1)
