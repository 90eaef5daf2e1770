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
from mlore_mm.tasks import TaskSet
from tests.distributed import run_in_processes
from tests.mlore_models import build_mlore, make_samples

TASKS = TaskSet(dict(semseg=dict(type='SemSeg'), depth=dict(type='Depth', loss_weight=4.0)))


def losses_of(semseg, depth):
    return dict(semseg=torch.tensor(float(semseg)), depth=torch.tensor(float(depth)))


def test_fixed():
    assert_close(FixedWeighting(TASKS)(losses_of(2, 0.5)), losses_of(2, 2))


# ---- uncertainty -----------------------------------------------------------------------------------------------------
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


# ---- dynamic weight average ------------------------------------------------------------------------------------------
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


# ---- random weights --------------------------------------------------------------------------------------------------
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


# ---- everywhere ------------------------------------------------------------------------------------------------------
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


# ---- other objectives ------------------------------------------------------------------------------------------------
def weights_of(weighting, *losses):
    """What the gradient of the sum multiplies each loss by."""
    leaves = [torch.tensor(float(x), requires_grad=True) for x in losses]
    sum(weighting(dict(zip(TASKS, leaves, strict=True))).values()).backward()
    return torch.stack([x.grad for x in leaves])


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


# ---- GradNorm --------------------------------------------------------------------------------------------------------
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


@pytest.mark.parametrize(('dtype', 'expected'), [(torch.float64, torch.float64), (torch.bfloat16, torch.float32)])
def test_learned_scales_are_squared_in_full_precision(dtype, expected):
    """1.1 squared is 1.21; L / (2 * 1.21) + log(1 + 1.21) of L = 2."""
    weighting = MODELS.build(dict(type='LearnedScaleWeighting', tasks=TASKS)).to(dtype)
    weighting.scales.data.fill_(1.1)
    stored = float(weighting.scales[0])
    found = weighting(dict(semseg=torch.tensor(2.0, dtype=expected)))['semseg']
    assert found.dtype == expected
    assert found.item() == pytest.approx(2 / (2 * stored**2) + math.log1p(stored**2), rel=1e-6)


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


def norms_of(weighting, *losses):
    feats = torch.ones(1, requires_grad=True) * 1
    return weighting({name: x * feats.sum() for name, x in zip(TASKS, losses, strict=False)}, Features(shared=(feats,)))


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


def test_learned_scales_are_scaled_by_the_weights_of_the_losses():
    weighting = MODELS.build(dict(type='LearnedScaleWeighting', tasks=TASKS, scale_by_loss_weight=True))
    assert_close(dict(weighting(losses_of(2, 3))), losses_of(2 / 2 + math.log(2), 4 * 3 / 2 + math.log(2)))
    plain = MODELS.build(dict(type='LearnedScaleWeighting', tasks=TASKS))
    assert_close(dict(plain(losses_of(2, 3))), losses_of(2 / 2 + math.log(2), 3 / 2 + math.log(2)))


@pytest.mark.parametrize('kind', ['UncertaintyWeighting', 'RandomLossWeighting', 'GLSWeighting', 'FixedWeighting'])
def test_what_can_be_added_up_task_by_task(kind):
    """Terms of single tasks are those of all where each weight depends on its own loss alone."""
    weighting = MODELS.build(dict(type=kind, tasks=TASKS))
    alone = {name: weighting({name: x})[name] for name, x in losses_of(4, 1).items()}
    same = all(torch.allclose(x, alone[name]) for name, x in weighting(losses_of(4, 1)).items())
    assert getattr(weighting, 'adds_over_tasks', False) is same
