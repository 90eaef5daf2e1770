"""GradNorm, worked by hand."""

import math

import pytest
import torch
from torch.testing import assert_close

from mlore_mm.models.features import Features
from mlore_mm.models.losses import (
    GradNormWeighting,
)
from tests.test_models.test_losses.two_tasks import TASKS, losses_of


def norms_of(weighting, *losses):
    feats = torch.ones(1, requires_grad=True) * 1
    return weighting({name: x * feats.sum() for name, x in zip(TASKS, losses, strict=False)}, Features(shared=(feats,)))


def test_grad_norm_by_hand():
    """Norms (3, 1), rates even: the targets are 2. Relative to the mean size 2 the step is (+3, -1) / 2, times 0.1, and
    (0.85, 1.05) are brought to the sum 2. The first step still has the weights 1.
    """
    weighting = GradNormWeighting(TASKS, alpha=0.0, lr=0.1)
    x = torch.ones(1, requires_grad=True)
    feats = x * 1
    terms = weighting(dict(semseg=3 * feats.sum(), depth=feats.sum()), Features(shared=(feats,)))
    assert_close(torch.stack(list(terms.values())), torch.tensor([3.0, 1.0]))
    assert_close(weighting.task_weights, 2 * torch.tensor([0.85, 1.05]) / 1.9)
    sum(terms.values()).backward()  # the graph is still there
    assert_close(x.grad, torch.tensor([4.0]))


def test_grad_norm_favours_the_slow_task():
    """Equal norms 1; the first loss fell to a fifth of its start, the second not: rates 1/3 and 5/3 of their mean 0.6.

    The targets are these (alpha 1), so the first weight falls by lr and the second rises by it.
    """
    weighting = GradNormWeighting(TASKS, alpha=1.0, lr=0.1)
    weighting.first.copy_(torch.tensor([5.0, 1.0]))
    feats = torch.ones(1, requires_grad=True) * 1
    weighting(dict(semseg=feats.sum(), depth=feats.sum()), Features(shared=(feats,)))
    assert_close(weighting.task_weights, torch.tensor([0.9, 1.1]))


def test_grad_norm_needs_shared_features():
    with pytest.raises(ValueError, match='the encoder is frozen'):
        GradNormWeighting(TASKS)(losses_of(1, 2), Features(shared=(torch.zeros(1),)))


def test_grad_norm_learns_in_training_from_all_tasks_only():
    weighting = GradNormWeighting(TASKS, scale_by_loss_weight=True)
    weighting.task_weights.copy_(torch.tensor([0.5, 1.5]))
    assert_close(norms_of(weighting.eval(), 3.0, 1.0), losses_of(1.5, 6))
    with torch.no_grad():
        weighting.train()(losses_of(3, 1))
    norms_of(weighting, 3.0)
    assert weighting.first.isnan().all()
    norms_of(weighting, 3.0, 1.0)
    assert_close(weighting.first, torch.tensor([3.0, 4.0]))
    norms_of(weighting, 1.0, 1.0)
    assert_close(weighting.first, torch.tensor([3.0, 4.0]))
    assert_close(weighting.task_weights.sum(), torch.tensor(2.0))
    with pytest.raises(ValueError, match='Use another weighting'):
        weighting(losses_of(3, 1))


def test_grad_norm_keeps_its_weights_where_a_gradient_is_infinite():
    weighting = GradNormWeighting(TASKS)
    norms_of(weighting, math.inf, 1.0)
    assert weighting.task_weights.tolist() == [1, 1]


def test_grad_norm_weights_stay_positive():
    weighting = GradNormWeighting(TASKS, alpha=0.0, lr=100.0)
    norms_of(weighting, 3.0, 1.0)
    assert (weighting.task_weights > 0).all()
