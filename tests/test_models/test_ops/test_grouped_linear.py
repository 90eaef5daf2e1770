import pytest
import torch
from torch.testing import assert_close

from mlore_mm.models.ops import grouped_linear as ops

ENDS = torch.tensor([0, 200, 640, 640, 700], dtype=torch.int32)  # the first and the fourth group are empty
SPANS = [(0, 0), (0, 200), (200, 640), (640, 640), (640, 700)]


@pytest.fixture
def tensors():
    torch.manual_seed(0)
    return torch.randn(700, 24), torch.randn(5, 24, 8), torch.randn(700, 8)


@pytest.mark.parametrize('form', ['grouped', 'loop', 'blocked'])
def test_forms_are_products_group_by_group(form, tensors):
    rows, matrices, other = tensors
    wanted = torch.cat([rows[a:b] @ matrix for (a, b), matrix in zip(SPANS, matrices, strict=True)])
    assert_close(ops.grouped_product(rows, matrices, ENDS, form), wanted)
    wanted = torch.stack([rows[a:b].t() @ other[a:b] for a, b in SPANS])
    assert_close(ops.grouped_outer(rows, other, ENDS, form), wanted, atol=1e-4, rtol=1e-5)
    assert_close(ops.grouped_sum(other, ENDS), torch.stack([other[a:b].sum(dim=0) for a, b in SPANS]))


def test_gradients(tensors):
    rows, matrices, _ = (x.double()[:, :6] for x in tensors)
    rows, weight = rows[630:650].clone().requires_grad_(), matrices.clone().requires_grad_()
    ends = (ENDS - 630).clamp(0, 20)
    assert torch.autograd.gradcheck(ops.grouped_linear, (rows, weight.transpose(1, 2).contiguous(), ends))


def test_counting_needs_no_numbers():
    """On the meta device the multiplications are those of all rows, whichever group they belong to."""
    from torch.utils.flop_counter import FlopCounterMode

    rows, weight = torch.empty(700, 24, device='meta'), torch.empty(5, 8, 24, device='meta')
    with FlopCounterMode(display=False) as counter:
        assert ops.grouped_linear(rows, weight, torch.empty(5, device='meta')).shape == (700, 8)
    assert counter.get_total_flops() == 2 * 700 * 24 * 8


def test_half_precision_on_a_gpu_and_compiled_graphs(monkeypatch, tensors):
    assert ops.best_form(tensors[0], 8) == 'loop'
    monkeypatch.setattr(torch.compiler, 'is_compiling', lambda: True)
    assert ops.best_form(tensors[0], 8) == 'blocked'
    assert ops.best_form(tensors[0].bfloat16(), 8) == 'grouped'
    assert ops.best_form(tensors[0].bfloat16(), 7) == 'blocked'
