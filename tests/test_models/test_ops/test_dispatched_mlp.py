import pytest
import torch

from mlore_mm.models.ops import dispatched_mlp as ops
from mlore_mm.models.ops.token_dispatch import TokenDispatch


@pytest.mark.parametrize('form', ['loop', 'blocked'])
def test_gradients_of_both_ways_to_compute_it(form, monkeypatch):
    """An expert that nobody chose (the last) and one that has all tokens are among them."""
    monkeypatch.setattr(ops, 'best_form', lambda *args: form)
    torch.manual_seed(0)
    experts = torch.tensor([[1, 0], [1, 2], [2, 1], [1, 0], [0, 1]])
    shapes = dict(x=(5, 3), scores=(5, 2), w1=(4, 6, 3), b1=(4, 6), w2=(4, 3, 6))
    tensors = [torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes.values()]

    def mlp(x, scores, *weights):
        return ops.dispatched_mlp(x, scores, TokenDispatch.to_experts(experts, 4), *weights)

    assert torch.autograd.gradcheck(mlp, tensors)


def test_only_the_hidden_layer_is_kept():
    torch.manual_seed(0)
    x, scores = torch.randn(50, 8, requires_grad=True), torch.rand(50, 2)
    dispatch = TokenDispatch.to_experts(torch.rand(50, 4).topk(2).indices, 4)
    weights = torch.randn(4, 8, 8), torch.randn(4, 8), torch.randn(4, 8, 8)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        ops.dispatched_mlp(x, scores, dispatch, *weights)
    large = [t.shape for t in kept if t.is_floating_point() and t.shape[0] == 100]
    assert large == [(100, 8)]


@pytest.mark.parametrize(('form', 'taken'), [('loop', '_by_expert'), ('blocked', '')])
def test_form_is_that_of_the_device_and_inference_keeps_nothing(form, taken, monkeypatch):
    monkeypatch.setattr(ops, 'best_form', lambda *args: form)
    calls = []
    for name in ('_forward', '_backward', '_forward_by_expert', '_backward_by_expert'):
        function = getattr(ops, name)
        monkeypatch.setattr(ops, name, lambda *a, f=function, n=name: calls.append((n, a[-1])) or f(*a))
    x, scores = torch.randn(3, 2), torch.rand(3, 1)
    weights = torch.randn(2, 4, 2), torch.randn(2, 4), torch.randn(2, 2, 4)
    dispatch = TokenDispatch.to_experts(torch.tensor([[0], [1], [0]]), 2)
    ops.dispatched_mlp(x, scores, dispatch, *weights)
    assert calls.pop() == (f'_forward{taken}', False)
    ops.dispatched_mlp(x.requires_grad_(), scores, dispatch, *weights).sum().backward()
    assert [name for name, _ in calls] == [f'_forward{taken}', f'_backward{taken}']
