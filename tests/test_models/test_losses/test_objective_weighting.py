"""Geometric mean, smooth maximum and FAMO, worked by hand."""

import copy
import math

import pytest
import torch
from torch.testing import assert_close

from mlore_mm.models.losses import (
    FAMOWeighting,
    GLSWeighting,
    STCHWeighting,
)
from tests.test_models.test_losses.two_tasks import TASKS, losses_of, weights_of


def test_geometric_mean_by_hand():
    """sqrt(8 * 2) = 4, with derivatives 4 / (2 * 8) and 4 / (2 * 2); the terms add up to it."""
    assert_close(weights_of(GLSWeighting(TASKS), 8, 2), torch.tensor([0.25, 1.0]))
    assert_close(sum(GLSWeighting(TASKS)(losses_of(8, 2)).values()), torch.tensor(4.0))
    scaled = GLSWeighting(TASKS, scale_by_loss_weight=True)
    assert_close(weights_of(scaled, 8, 2), torch.tensor([0.5, 2.0]))  # sqrt(4) times the above


@pytest.mark.parametrize('kind', [GLSWeighting, STCHWeighting, FAMOWeighting])
def test_a_task_without_labels_takes_no_part(kind):
    assert_close(weights_of(kind(TASKS), 0, 5)[0], torch.tensor(0.0))
    assert weights_of(kind(TASKS), 0, 5)[1] > 0
    assert_close(weights_of(kind(TASKS), 0, 0), torch.zeros(2))


def test_smooth_maximum_by_hand():
    """Of the logarithms with mu = 1: shares L / sum L, so weights 2 / (3 + 1). Plain with mu = 2: 2 softmax(L / 2)."""
    assert_close(weights_of(STCHWeighting(TASKS, mu=1.0), 3, 1), torch.tensor([0.5, 0.5]))
    # mu = 1/2: shares 9 : 1, over the losses.
    assert_close(weights_of(STCHWeighting(TASKS, mu=0.5), 3, 1), torch.tensor([2 * 0.9 / 3, 2 * 0.1]))
    plain = weights_of(STCHWeighting(TASKS, mu=2.0, log=False), 3, 1)
    assert_close(plain, 2 * torch.tensor([1.5, 0.5]).softmax(dim=0))


def test_smooth_maximum_is_the_gradient_of_its_objective():
    losses = torch.tensor([3.0, 0.7], dtype=torch.float64, requires_grad=True)
    (2 * 0.5 * torch.logsumexp(losses.log() / 0.5, dim=0)).backward()
    assert_close(weights_of(STCHWeighting(TASKS, mu=0.5), 3, 0.7).double(), losses.grad, rtol=1e-5, atol=1e-5)


def test_smooth_maximum_measures_against_the_first_steps():
    """Two steps with means (4, 2) and weights 1 / L; afterwards ratios of (4, 1) to them are 1 : 1/2."""
    weighting = STCHWeighting(TASKS, mu=1.0, warmup=2)
    assert_close(weights_of(weighting, 2, 1), torch.tensor([0.5, 1.0]))
    assert_close(weights_of(weighting, 6, 3), torch.tensor([1 / 6, 1 / 3]))
    assert_close(weights_of(weighting, 4, 1), torch.tensor([2 * (2 / 3) / 4, 2 * (1 / 3) / 1]))
    assert_close(weighting.total / weighting.count, torch.tensor([4.0, 2.0]))


def test_famo_by_hand():
    """z even: weights c / (2 L), so 2 * (1/4, 1) / (5/4). Then only the first loss halves: d = (log 2, 0)."""
    weighting = FAMOWeighting(TASKS, lr=0.5, decay=0.0)
    assert_close(weights_of(weighting, 4, 1), torch.tensor([0.4, 1.6]))
    found = weights_of(weighting, 2, 1)
    move = 0.5 * 0.5 * (math.log(2) - math.log(2) / 2)  # lr z_1 (d_1 - z . d)
    assert_close(weighting.xi, torch.tensor([-move, move]))
    z = torch.tensor([-move, move]).softmax(dim=0)
    raw = z / torch.tensor([2.0, 1.0])
    assert_close(found, 2 * raw / raw.sum())


def test_famo_pulls_towards_even_weights():
    weighting = FAMOWeighting(TASKS, lr=0.5, decay=0.1)
    weighting.xi.copy_(torch.tensor([1.0, -1.0]))
    for _ in range(2):
        weights_of(weighting, 3, 3)  # no progress
    assert_close(weighting.xi, torch.tensor([0.95, -0.95]))


@pytest.mark.parametrize('kind', [STCHWeighting, FAMOWeighting])
def test_objectives_go_on_after_loading(kind):
    options = dict(warmup=2) if kind is STCHWeighting else {}
    weighting, resumed = kind(TASKS, **options), kind(TASKS, **options)
    weights_of(weighting, 3, 1)
    resumed.load_state_dict(weighting.state_dict())
    for losses in ((2, 1), (1, 1), (1, 4)):
        assert_close(weights_of(resumed, *losses), weights_of(weighting, *losses))
    before = copy.deepcopy(weighting.state_dict())
    weights_of(weighting.eval(), 9, 9)
    assert_close(weighting.state_dict(), before)


def test_smooth_maximum_learns_its_reference_in_the_warmup_only():
    weighting = STCHWeighting(TASKS, mu=1.0, warmup=1)
    weighting.eval()(losses_of(9, 9))
    assert weighting.steps == 0
    for losses in ((4, 2), (8, 8)):
        weighting.train()(losses_of(*losses))
    assert (weighting.steps.item(), weighting.total.tolist(), weighting.count.tolist()) == (1, [4, 2], [1, 1])


def test_smooth_maximum_by_names():
    """Losses in another order keep their own reference, and one task alone is its own maximum."""
    weighting = STCHWeighting(TASKS, mu=1.0, warmup=1)
    weighting(losses_of(4, 2))
    there, back = losses_of(4, 1), dict(reversed(losses_of(4, 1).items()))
    assert_close(dict(weighting(back)), weighting(there))
    assert_close(weighting(dict(depth=torch.tensor(8.0))), dict(depth=torch.tensor(1.0)))


def test_famo_needs_all_tasks_to_learn():
    weighting = FAMOWeighting(TASKS)
    weighting(dict(depth=torch.tensor(3.0)))
    weighting.eval()(losses_of(1, 2))
    assert weighting.before.isnan().all()
    weighting.train()(losses_of(1, 2))
    assert_close(weighting.before, torch.tensor([1.0, 2.0]).log())
    weighting(losses_of(0, 2))  # a batch without labels of the first: what is known of it stays
    assert_close(weighting.before, torch.tensor([1.0, 2.0]).log())
