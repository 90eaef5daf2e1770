"""The balance of expert shares, by hand."""

import pytest
import torch
from torch.testing import assert_close

from mlore_mm.models.layers import FineGrainedMixture
from mlore_mm.models.losses import ExpertShareLoss
from mlore_mm.routing import RouterRecord, RouterTrace, trace_routing


def test_share_by_hand():
    """Layer a, two tokens: f = (1, 1/2, 1/2), P = (0.55, 0.25, 0.2), N / K = 3/2; layer b, even: 1. Their mean."""
    p = torch.tensor([[0.6, 0.3, 0.1], [0.5, 0.2, 0.3]])
    gates = torch.tensor([[0.6, 0.3, 0.0], [0.5, 0.0, 0.3]])
    even = torch.eye(2)
    records = [RouterRecord('a', 't', p, gates), RouterRecord('b', 't', torch.full((2, 2), 0.5), even)]
    records.append(RouterRecord('c', 't', torch.ones(2, 1), torch.ones(2, 1)))
    wanted = (1.5 * (0.55 + 0.125 + 0.1) + 1) / 2
    assert ExpertShareLoss(loss_weight=2.0)(RouterTrace(records)).item() == pytest.approx(2 * wanted)


def test_balance_is_one_where_all_is_even():
    moe = FineGrainedMixture(4, 4, shared_experts=1, name='a')
    with torch.no_grad():
        moe.router.weight.zero_()
    loss = ExpertShareLoss(loss_weight=1.0)
    with trace_routing() as trace:
        moe(torch.randn(2, 5, 4), 't')
    assert_close(loss(trace), torch.tensor(1.0))
    with torch.no_grad():
        moe.router.weight[:] = torch.arange(16.0)[:, None]
    with trace_routing() as trace:
        moe(torch.ones(2, 5, 4) * torch.tensor([9.0, 1, 1, 1]), 't')
    assert loss(trace) > 0.9
    with pytest.raises(ValueError, match='no router record'):
        loss(None)
