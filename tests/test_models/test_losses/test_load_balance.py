import pytest
import torch
from torch.testing import assert_close

from mlore_mm.models.losses import LoadBalanceLoss
from mlore_mm.routing.records import RouterRecord, RouterTrace


def trace_of(*records):
    """A trace of (layer, task, gates)."""
    return RouterTrace([RouterRecord(layer, task, gates, gates) for layer, task, gates in records])


def test_two_layers_by_hand():
    """Layer a: mean gates (0.75, 0.25) over two tasks; var 0.125, mean 0.5: 0.5. Layer b: (0.5, 0.5): 0."""
    trace = trace_of(
        ('a', 'semseg', torch.tensor([[1.0, 0.0]])),
        ('b', 'semseg', torch.tensor([[1.0, 0.0]])),
        ('a', 'depth', torch.tensor([[0.5, 0.5]])),
        ('b', 'depth', torch.tensor([[0.0, 1.0]])),
    )
    assert_close(LoadBalanceLoss(loss_weight=3.0)(trace), torch.tensor(1.5))


def test_samples_count_alike_and_carry_gradient():
    gates = torch.rand(4, 5, requires_grad=True)
    loss = LoadBalanceLoss()(trace_of(('a', 'semseg', gates)))
    load = gates.mean(dim=0)
    assert_close(loss, (load.std() / load.mean()) ** 2)
    loss.backward()
    assert (gates.grad.abs().sum(dim=0) > 0).all()


def test_one_expert_cannot_be_out_of_balance():
    assert LoadBalanceLoss()(trace_of(('a', 'semseg', torch.ones(2, 1)))) == 0


@pytest.mark.parametrize('trace', [None, RouterTrace()])
def test_a_model_that_does_not_route_is_named(trace):
    with pytest.raises(ValueError, match='no router record'):
        LoadBalanceLoss()(trace)


def test_tokens_count_alike():
    """Gates (B, L, N): the experts' loads are means over all tokens, as if each token were a sample."""
    torch.manual_seed(0)
    tokens = torch.rand(2, 7, 4)
    per_token = LoadBalanceLoss()(trace_of(('a', 'semseg', tokens), ('a', 'depth', 1 - tokens)))
    by_hand = torch.cat([tokens.reshape(14, 4), 1 - tokens.reshape(14, 4)]).mean(dim=0)
    assert_close(per_token, (by_hand.std() / by_hand.mean()) ** 2)
    even = torch.eye(4).repeat(2, 3, 1)  # every token on one expert, every expert chosen as often
    assert_close(LoadBalanceLoss()(trace_of(('a', 'semseg', even))), torch.tensor(0.0))


def test_no_balance_of_no_gate():
    """Gates that are all zero are even, and not a division by zero."""
    assert LoadBalanceLoss()(trace_of(('a', 'semseg', torch.zeros(2, 3)))) == 0
