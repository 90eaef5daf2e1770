"""By hand; the published numbers are in test_golden_mod_squad.py."""

import pytest
import torch

from mlore_mm.models.losses import DirectionLoss, MaskedMSELoss

VALID = torch.tensor([[[[True, True, False]]]])


def test_squared_error():
    logits = torch.tensor([[[[1.0, 2.0, 9.0]], [[0.0, 0.0, 9.0]]]], requires_grad=True)
    loss = MaskedMSELoss()(logits, torch.tensor([[[[0.0, 0.0, 255.0]], [[3.0, 0.0, 255.0]]]]), VALID)
    assert loss.item() == pytest.approx((1 + 9 + 4) / 4)
    loss.backward()
    assert (logits.grad[..., 2] == 0).all()


def test_direction():
    logits = torch.tensor([[[[2.0, 0.0, 1.0]], [[0.0, 0.0, 1.0]], [[0.0, 5.0, 1.0]]]])
    target = torch.tensor([[[[1.0, 0.0, 255.0]], [[0.0, 1.0, 255.0]], [[0.0, 0.0, 255.0]]]])
    assert DirectionLoss()(logits, target, VALID).item() == pytest.approx((0 + 1) / 2, abs=1e-5)


def test_nothing_to_learn_is_a_zero_with_a_graph():
    for loss in (MaskedMSELoss(), DirectionLoss()):
        logits = torch.ones(1, 3, 1, 3, requires_grad=True)
        value = loss(logits, torch.full((1, 3, 1, 3), 255.0), torch.zeros_like(VALID))
        value.backward()
        assert value == 0
        assert (logits.grad == 0).all()


def test_lengths_get_eps():
    """Vectors of lengths 3 and 4 in one direction: with eps = 1 their cosine is 3/4 of 4/5."""
    target = torch.tensor([[[[4.0]], [[0.0]], [[0.0]]]])
    loss = DirectionLoss(eps=1.0)(torch.tensor([[[[3.0]], [[0.0]], [[0.0]]]]), target, VALID[..., :1])
    assert loss.item() == pytest.approx(1 - 3 / 4 * 4 / 5)
    assert DirectionLoss()(torch.zeros_like(target), target, VALID[..., :1]).item() == 1
