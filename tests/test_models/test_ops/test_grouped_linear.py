from types import SimpleNamespace

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


def device_rows(kind, *, dtype=torch.bfloat16, width=24):
    """What is asked of rows on another device."""
    size = torch.empty((), dtype=dtype).element_size()
    return SimpleNamespace(
        is_meta=False, device=torch.device(kind), dtype=dtype, shape=(700, width), element_size=lambda: size
    )


def test_forms_of_other_devices(monkeypatch):
    """The kernel takes bf16 of rows of whole 16 bytes, from compute capability 8 on."""
    capability = [8, 0]
    monkeypatch.setattr(torch.cuda, 'get_device_capability', lambda device: tuple(capability))
    assert ops.best_form(device_rows('cuda'), 8) == 'grouped'
    assert ops.best_form(device_rows('cuda', width=20), 8) == 'blocked'
    assert ops.best_form(device_rows('cuda'), 12) == 'blocked'
    assert ops.best_form(device_rows('cuda', dtype=torch.float32), 8) == 'blocked'
    assert ops.best_form(device_rows('cuda', dtype=torch.float16), 8) == 'blocked'
    assert ops.best_form(device_rows('xpu'), 8) == 'blocked'
    capability[0] = 7
    assert ops.best_form(device_rows('cuda'), 8) == 'blocked'


def test_gradients_of_what_needs_none_are_not_computed(monkeypatch, tensors):
    rows, matrices, _ = tensors
    weight, made = matrices.transpose(1, 2), []
    for name in ('grouped_product', 'grouped_outer'):
        function = getattr(ops, name)
        monkeypatch.setattr(ops, name, lambda *a, f=function, n=name: made.append(n) or f(*a))
    ops.grouped_linear(rows.clone().requires_grad_(), weight, ENDS).sum().backward()
    ops.grouped_linear(rows, weight.clone().requires_grad_(), ENDS).sum().backward()
    assert made == ['grouped_product'] * 3 + ['grouped_outer']


def test_counting_backwards():
    rows, weight = (torch.empty(*s, device='meta', requires_grad=True) for s in ((700, 24), (5, 8, 24)))
    ops.grouped_linear(rows, weight, torch.empty(5, device='meta')).sum().backward()
    assert (rows.grad.shape, weight.grad.shape) == (rows.shape, weight.shape)


def test_blocks_of_exactly_filled_groups(monkeypatch):
    """Groups of 4, 0 and 8 rows in blocks of 4 waste nothing, one of 5 wastes 3 rows."""
    monkeypatch.setattr(ops, 'BLOCK', 4)
    place, owner = ops._blocks(torch.tensor([4, 4, 12]), 12)
    assert place.tolist() == list(range(12))
    assert owner[:3].tolist() == [0, 2, 2]
    place, owner = ops._blocks(torch.tensor([5, 6]), 6)
    assert place.tolist() == [0, 1, 2, 3, 4, 8]
    assert owner[:3].tolist() == [0, 0, 1]
