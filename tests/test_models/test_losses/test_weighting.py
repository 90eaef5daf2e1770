"""Task weightings against numbers worked by hand, alone and in two processes."""

import copy
import math

import pytest
import torch
from torch.testing import assert_close

from mlore_mm.models.features import Features
from mlore_mm.models.losses import (
    DynamicWeightAverage,
    FAMOWeighting,
    FixedWeighting,
    GLSWeighting,
    GradNormWeighting,
    RandomLossWeighting,
    STCHWeighting,
    UncertaintyWeighting,
)
from mlore_mm.registry import MODELS
from tests.distributed import run_in_processes
from tests.mlore_models import build_mlore, make_samples
from tests.test_models.test_losses.two_tasks import TASKS, losses_of


def test_fixed():
    assert_close(FixedWeighting(TASKS)(losses_of(2, 0.5)), losses_of(2, 2))


def test_uncertainty_by_hand():
    """sigma^2 of 1 and e^2: L / 2, and L e^-2 / 2 + 1."""
    weighting = UncertaintyWeighting(TASKS)
    weighting.log_variance.data = torch.tensor([0.0, 2.0])
    assert_close(dict(weighting(losses_of(3, 8))), losses_of(1.5, 4 * math.exp(-2) + 1))


def test_uncertainty_starts_with_plain_weights():
    """Up to a constant, the terms at the start are the losses, here scaled by their fixed weights."""
    weighting = UncertaintyWeighting(TASKS, scale_by_loss_weight=True)
    first, second = weighting(losses_of(2, 1)), weighting(losses_of(3, 3))
    assert_close(second['semseg'] - first['semseg'], torch.tensor(1.0))
    assert_close(second['depth'] - first['depth'], torch.tensor(8.0))


def test_uncertainty_learns_the_size_of_the_losses():
    """The optimum of exp(-s) L / 2 + s / 2 is s = log L."""
    weighting = UncertaintyWeighting(TASKS)
    optimizer = torch.optim.Adam(weighting.parameters(), lr=0.05)
    for _ in range(300):
        optimizer.zero_grad()
        sum(weighting(losses_of(5, 0.2)).values()).backward()
        optimizer.step()
    assert_close(weighting.log_variance.detach(), torch.tensor([5.0, 0.2]).log(), atol=1e-2, rtol=0)


def test_dynamic_weights_by_hand():
    """Periods of two steps: means (2, 4), then (1, 4). So r = (0.5, 1), and weights 2 softmax(0.25, 0.5)."""
    weighting = DynamicWeightAverage(TASKS, period=2, temperature=2.0)
    for semseg, depth in ((1, 5), (3, 3), (1, 2), (1, 6)):
        assert_close(weighting(losses_of(semseg, depth)), losses_of(semseg, depth))  # weights 1 so far
    share = math.exp(0.25) / (math.exp(0.25) + math.exp(0.5))
    for _ in range(2):
        assert_close(weighting(losses_of(10, 100)), losses_of(20 * share, 200 * (1 - share)))
    r = torch.tensor([10.0 / 1, 100 / 4])
    expected = 2 * (r / 2).softmax(dim=0)
    assert_close(weighting(losses_of(1, 1)), losses_of(*expected.tolist()))


def test_dynamic_weights_are_not_updated_in_evaluation():
    weighting = DynamicWeightAverage(TASKS, period=1).eval()
    before = copy.deepcopy(weighting.state_dict())
    weighting(losses_of(1, 2))
    assert_close(weighting.state_dict(), before, equal_nan=True)


def test_dynamic_weights_go_on_after_loading():
    """A copy made from the checkpoint in the middle of a period continues with the same weights."""
    weighting = DynamicWeightAverage(TASKS, period=2)
    for semseg, depth in ((1, 5), (3, 3), (1, 2)):
        weighting(losses_of(semseg, depth))
    resumed = DynamicWeightAverage(TASKS, period=2)
    resumed.load_state_dict(weighting.state_dict())
    for losses in (losses_of(7, 2), losses_of(1, 1), losses_of(2, 2), losses_of(3, 1)):
        assert_close(resumed(losses), weighting(losses))


def test_dynamic_weights_of_a_single_task_call():
    """Losses of one task only: the other keeps what is known about it."""
    weighting = DynamicWeightAverage(TASKS, period=2)
    for _ in range(6):
        assert_close(weighting(dict(depth=torch.tensor(2.0))), dict(depth=torch.tensor(2.0)))


def test_random_weights_add_up_to_the_number_of_tasks_and_are_even_on_average():
    weighting = RandomLossWeighting(TASKS)
    draws = torch.stack([torch.stack(list(weighting(losses_of(1, 1)).values())) for _ in range(2000)])
    assert_close(draws.sum(dim=1), torch.full((2000,), 2.0))
    assert_close(draws.mean(dim=0), torch.ones(2), atol=0.05, rtol=0)
    assert draws.std(dim=0).min() > 0.2


def test_random_weights_follow_the_softmax_of_the_draw():
    weighting = RandomLossWeighting(TASKS, scale_by_loss_weight=True)
    torch.manual_seed(3)
    draw = torch.randn(2)
    torch.manual_seed(3)
    expected = 2 * draw.softmax(dim=0) * torch.tensor([5.0, 4 * 7])
    assert_close(weighting(losses_of(5, 7)), losses_of(*expected.tolist()))


def test_random_weights_are_off_in_evaluation():
    assert_close(RandomLossWeighting(TASKS).eval()(losses_of(5, 7)), losses_of(5, 7))


@pytest.mark.parametrize(
    'kind',
    [FixedWeighting, UncertaintyWeighting, DynamicWeightAverage, RandomLossWeighting]
    + [GLSWeighting, STCHWeighting, FAMOWeighting],
)
def test_gradient_reaches_losses_of_half_precision(kind):
    loss = torch.tensor(2.0, dtype=torch.bfloat16, requires_grad=True)
    weighting = kind(TASKS)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        terms = weighting(dict(semseg=loss, depth=loss.float()))
    sum(terms.values()).backward()
    assert loss.grad > 0


@pytest.mark.parametrize(
    'kind',
    [FixedWeighting, UncertaintyWeighting, DynamicWeightAverage, RandomLossWeighting]
    + [GLSWeighting, STCHWeighting, FAMOWeighting],
)
def test_no_value_is_asked_from_the_device(kind):
    """Meta tensors hold no values, so a weighting that waits for one raises an error."""
    weighting, loss = kind(TASKS).to('meta'), torch.ones((), device='meta', requires_grad=True)
    for _ in range(2):
        sum(weighting(dict(semseg=loss, depth=loss)).values()).backward()
    assert loss.grad.is_meta


def _train_in_one_of_two_processes():
    """Six steps whose losses differ by process; what the two must agree on."""
    rank = torch.distributed.get_rank()
    torch.manual_seed(rank)
    dynamic, drawn = DynamicWeightAverage(TASKS, period=2), RandomLossWeighting(TASKS)
    for step in range(6):
        dynamic(losses_of(1 + rank + step, 4 - step / 2 + rank))
        weights = drawn(losses_of(1, 1))
    dynamic_weights = dynamic(losses_of(1, 1))
    return [{k: v.item() for k, v in terms.items()} for terms in (dynamic_weights, weights)]


def test_two_processes_agree(tmp_path):
    first, second = run_in_processes(_train_in_one_of_two_processes, tmp_path)
    assert first == second
    # What they agree on follows from the mean of their losses.
    alone = DynamicWeightAverage(TASKS, period=2)
    for step in range(6):
        alone(losses_of(1.5 + step, 4.5 - step / 2))
    assert first[0] == pytest.approx({k: v.item() for k, v in alone(losses_of(1, 1)).items()})


@pytest.mark.parametrize('kind', ['GradNormWeighting', 'FAMOWeighting', 'GLSWeighting', 'STCHWeighting'])
def test_weightings_in_a_model(kind):
    """Two steps of a small model; the new weights of the second are in the checkpoint."""
    torch.manual_seed(0)
    model = build_mlore()
    model.criterion.weighting = MODELS.build(dict(type=kind, tasks=model.tasks))
    images = torch.randn(2, 3, 32, 48)
    samples = make_samples(model.train(), images)
    for _ in range(2):
        losses = model(images, samples, mode='loss')
        total = model.parse_losses(losses)[0]
        total.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.backbone.parameters() if p.requires_grad)
    if kind == 'GradNormWeighting':
        weights = model.state_dict()['criterion.weighting.task_weights']
        assert_close(weights.sum(), torch.tensor(2.0))
        assert (weights - 1).abs().max() > 1e-3
    assert 'loss_semseg' in model.eval().loss(images, samples)


def famo_and_grad_norm():
    rank = torch.distributed.get_rank()
    famo, grad_norm = FAMOWeighting(TASKS, lr=0.5, decay=0.0), GradNormWeighting(TASKS, alpha=0.0, lr=0.1)
    for losses in ((2 + 4 * rank, 1), (1 + 2 * rank, 1)):  # means 4 and 2
        famo(losses_of(*losses))
    feats = torch.ones(1, requires_grad=True) * 1
    # Together the norm of the first is sqrt(2 * 3^2) / 2 of a process's, and of the second as much of 1.
    grad_norm(dict(semseg=3 * feats.sum(), depth=feats.sum()), Features(shared=(feats,)))
    return famo.xi.tolist(), grad_norm.task_weights.tolist()


def test_weights_are_the_same_in_all_processes(tmp_path):
    first, second = run_in_processes(famo_and_grad_norm, tmp_path)
    assert first == second
    move = 0.5 * 0.5 * math.log(2) / 2
    assert first[0] == pytest.approx([-move, move], rel=1e-5)
    assert first[1] == pytest.approx([2 * 0.85 / 1.9, 2 * 1.05 / 1.9], rel=1e-5)


@pytest.mark.parametrize(
    ('kind', 'options'),
    [
        (DynamicWeightAverage, dict(period=0)),
        (DynamicWeightAverage, dict(temperature=0)),
        (STCHWeighting, dict(mu=0)),
        (STCHWeighting, dict(warmup=-1)),
        (FAMOWeighting, dict(lr=0)),
        (FAMOWeighting, dict(decay=-1)),
        (GradNormWeighting, dict(alpha=-1)),
        (GradNormWeighting, dict(lr=0)),
    ],
)
def test_numbers_without_a_meaning_are_refused(kind, options):
    ((name, value),) = options.items()
    with pytest.raises(ValueError, match=f'{kind.__name__} needs .*{name}={value}'):
        kind(TASKS, **options)
    if name in ('warmup', 'decay', 'alpha'):
        kind(TASKS, **{name: 0})


def test_dynamic_weights_of_a_period_of_one_step():
    """A loss that was 0 has fallen as far as one can: its ratio counts by what it is now, and nothing is infinite."""
    weighting = DynamicWeightAverage(TASKS, period=1, temperature=1.0)
    for losses in ((2, 1), (1, 4)):
        weighting(losses_of(*losses))
    assert_close(weighting(losses_of(1, 1)), losses_of(*(2 * torch.tensor([0.5, 4.0]).softmax(dim=0)).tolist()))
    weighting = DynamicWeightAverage(TASKS, period=1)
    for losses in ((0, 1), (1, 1), (1, 1)):
        found = weighting(losses_of(*losses))
    assert all(x.isfinite() for x in found.values())


def test_dynamic_weights_scale_first():
    weighting = DynamicWeightAverage(TASKS, scale_by_loss_weight=True)
    assert_close(weighting(losses_of(2, 1)), losses_of(2, 4))


@pytest.mark.parametrize('kind', ['UncertaintyWeighting', 'RandomLossWeighting', 'GLSWeighting', 'FixedWeighting'])
def test_what_can_be_added_up_task_by_task(kind):
    """Terms of single tasks are those of all where each weight depends on its own loss alone."""
    weighting = MODELS.build(dict(type=kind, tasks=TASKS))
    alone = {name: weighting({name: x})[name] for name, x in losses_of(4, 1).items()}
    same = all(torch.allclose(x, alone[name]) for name, x in weighting(losses_of(4, 1)).items())
    assert getattr(weighting, 'adds_over_tasks', False) is same
