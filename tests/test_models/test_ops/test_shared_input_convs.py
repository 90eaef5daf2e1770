import pytest
import torch
from torch import nn
from torch.testing import assert_close

from mlore_mm.models.ops import shared_input_convs, winograd
from mlore_mm.models.ops.shared_input_convs import shared_input_convs3x3


@pytest.mark.parametrize('bias', [False, True])
@pytest.mark.parametrize('form', ['plain', 'winograd'])
def test_they_are_the_convolutions_one_by_one(form, bias, monkeypatch):
    """Outputs and gradients, of a batch; without gradients in another way again."""
    if form == 'winograd':
        monkeypatch.setattr(winograd, 'FEWEST_PAIRS', 1)
        monkeypatch.setattr(winograd, 'FEWEST_PIXELS', 1)
    used = []
    convs3x3 = shared_input_convs.convs3x3
    monkeypatch.setattr(shared_input_convs, 'convs3x3', lambda *args: used.append(form) or convs3x3(*args))
    torch.manual_seed(0)
    convs = nn.ModuleList(nn.Conv2d(4, out, 3, padding=1, bias=bias) for out in (3, 5)).double()
    x = torch.randn(2, 4, 5, 6, dtype=torch.float64, requires_grad=True)
    ours, wanted = shared_input_convs3x3(x, convs), [conv(x) for conv in convs]
    assert_close(ours, wanted)
    leaves = [x, *convs.parameters()]
    gradients = [torch.autograd.grad(sum(y.square().sum() for y in maps), leaves) for maps in (ours, wanted)]
    assert_close(*gradients)
    with torch.no_grad():
        assert_close(shared_input_convs3x3(x, convs), wanted)
    assert used == (['winograd'] * 2 if form == 'winograd' else [])
