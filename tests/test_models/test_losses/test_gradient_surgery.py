"""Gradient surgery against numbers worked by hand, through a whole model, and in two processes."""

import copy

import pytest
import torch
from mmengine.optim import OptimWrapper
from mmengine.registry import init_default_scope
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.testing import assert_close
from torchjd import aggregation

import tests.toy_parts  # noqa: F401  registers the toys
from mlore_mm.models.losses import AlignedMTL, PCGrad
from mlore_mm.models.losses.aggregators import AGGREGATORS, LEFT_OUT
from mlore_mm.models.losses.gradient_surgery import task_terms
from mlore_mm.models.losses.torchjd_surgery import _in_its_precision
from mlore_mm.models.output import MultiTaskOutput
from mlore_mm.registry import MODELS
from tests.distributed import run_in_processes
from tests.mlore_models import TASKS, build_mlore, make_samples

METHODS = ['PCGrad', 'AlignedMTL', 'MGDA']


def gram_of(*gradients):
    gradients = torch.tensor(gradients, dtype=torch.float64)
    return gradients @ gradients.t()


def weights(*numbers):
    return torch.tensor(numbers, dtype=torch.float64)


# ---- the rules -------------------------------------------------------------------------------------------------------
def test_pcgrad_by_hand():
    """(1, 0) and (-1, 1): the first becomes (1, 0) + (-1, 1) / 2, the second (-1, 1) + (1, 0); together (0.5, 1.5)."""
    assert_close(PCGrad().combine(gram_of((1, 0), (-1, 1))), weights(2, 1.5))


def test_pcgrad_leaves_agreeing_tasks_alone():
    gram = gram_of((1, 0, 0), (1, 2, 0), (0, 1, 3), (0, 0, 0))
    assert_close(PCGrad().combine(gram), weights(1, 1, 1, 1))


def test_pcgrad_takes_the_others_in_random_order():
    """Of three gradients, what is left of one depends on which of the others comes first."""
    gram = gram_of((1, 0), (-1, 1), (-1, -2))
    found = {tuple(PCGrad().combine(gram).tolist()) for _ in range(30)}
    assert len(found) > 1


def test_aligned_by_hand():
    """Orthogonal gradients of lengths 3 and 1 come to the length 1, and one that is zero has no say."""
    assert_close(AlignedMTL().combine(gram_of((3, 0), (0, 1))), weights(1 / 3, 1))
    assert_close(AlignedMTL().combine(gram_of((3, 0), (0, 0), (0, 1))), weights(1 / 3, 0, 1))


def test_aligned_of_two_unit_vectors_by_hand():
    """With the cosine c: eigenvalues 1 + c on the sum and 1 - c on the difference, so for c > 0 both weights are
    sqrt((1 - c) / (1 + c)), and for c < 0 they are 1.
    """
    assert_close(AlignedMTL().combine(weights([1, 0.6], [0.6, 1])), weights(0.5, 0.5))
    assert_close(AlignedMTL().combine(weights([1, -0.6], [-0.6, 1])), weights(1, 1))


def test_aligned_gains_as_much_for_every_task():
    """The aligned gradients are orthogonal and equally long, so their sum has the same inner product with each."""
    gradients = torch.randn(4, 9, dtype=torch.float64) * weights(1, 5, 0.3, 20)[:, None]
    values, vectors = torch.linalg.eigh(gradients @ gradients.t())
    aligned = values[0].sqrt() * vectors @ (vectors.t() @ gradients / values.sqrt()[:, None])
    assert_close(aligned @ aligned.t(), values[0] * torch.eye(4, dtype=torch.float64))
    assert_close(AlignedMTL().combine(gradients @ gradients.t()) @ gradients, aligned.sum(dim=0))


def test_aligned_without_any_gradient():
    assert_close(AlignedMTL().combine(gram_of((0, 0), (0, 0))), weights(1, 1))


# ---- the methods of torchjd ------------------------------------------------------------------------------------------
OPTIONS = dict(
    CAGrad=dict(c=0.4),
    CRMOGM=dict(weighting=dict(type='PCGrad'), alpha=0.5),
    Constant=dict(weights=[1.0, 2.0, 3.0]),
    FairGrad=dict(alpha=2.0),
    Krum=dict(n_byzantine=0),
    SDMGrad=dict(lr=0.1, n_iter=2),
    TrimmedMean=dict(trim_number=1),
)
PACKAGES = dict(UPGrad='quadprog', DualProj='quadprog', CAGrad='cvxpy', NashMTL='ecos')


def test_every_aggregator_of_torchjd_is_offered():
    """A new version may bring new ones: then AGGREGATORS grows, or LEFT_OUT says why not."""
    known = {name for name in aggregation.__all__ if issubclass(getattr(aggregation, name), aggregation.Aggregator)}
    known |= {name.removesuffix('Weighting') for name in aggregation.__all__ if name.endswith('Weighting')}
    bases = {'', 'Aggregator', 'WeightedAggregator', 'GramianWeightedAggregator'}
    assert known - bases == {*AGGREGATORS, *LEFT_OUT}
    assert all(name in MODELS for name in AGGREGATORS)


@pytest.mark.parametrize('name', [name for name in AGGREGATORS if hasattr(aggregation, name)])
def test_each_gives_what_torchjd_gives(name):
    """Of three gradients with conflicts; summed where our default is the sum."""
    if name in PACKAGES:
        pytest.importorskip(PACKAGES[name], reason=f'{name} needs requirements/surgery.txt')
    torch.manual_seed(0)
    rows = torch.randn(3, 7, dtype=torch.float64)
    rows[1] -= rows[0]
    options = {key: torch.tensor(x) if isinstance(x, list) else x for key, x in OPTIONS.get(name, {}).items()}
    theirs = getattr(aggregation, name)(**options, **(dict(n_tasks=3) if name == 'NashMTL' else {}))
    if name in ('AlignedMTL', 'DualProj', 'UPGrad'):
        theirs.pref_vector = torch.ones(3, dtype=torch.float64)
    if name == 'Constant':
        theirs = aggregation.Constant(options['weights'].double())
    ours = MODELS.build(dict(type=name, **OPTIONS.get(name, {})))
    ours.prepare(3)
    torch.manual_seed(1)
    if AGGREGATORS[name] == 'elements':
        rows = rows.float()
        wanted = theirs(rows)
        torch.manual_seed(1)
        change, weights = ours.changes([list(rows)], torch.ones(()))
        assert weights is None
        assert_close(change[0] + rows.sum(dim=0), wanted)
        return
    wanted = theirs(rows)
    torch.manual_seed(1)
    assert_close(ours.combine(rows @ rows.t()) @ rows, wanted)


@pytest.mark.parametrize('name', ['GradVac', 'PCD', 'CRMOGM', 'MoDo', 'SDMGrad'])
def test_memory_of_a_method_is_in_the_checkpoint(name):
    """Three steps at a stretch, or with a restart before the third, are the same to the last bit."""
    torch.manual_seed(0)
    agreeing, conflict = torch.ones(3, 5), torch.tensor([[3.0, 0, 0, 0, 0], [-1, 1, 0, 0, 0], [0.5, 0, 2, 0, 0]])
    grams = [gram_of(*x.tolist()) for x in (agreeing + torch.rand(3, 5), agreeing + torch.rand(3, 5), conflict)]

    def build():
        surgery = MODELS.build(dict(type=name, **OPTIONS.get(name, {})))
        surgery.prepare(3)
        return surgery

    whole = build()
    steps = [whole.combine(gram) for gram in grams[:2]]
    resumed, seed = build(), torch.get_rng_state()
    resumed.load_state_dict(whole.state_dict())
    steps.append(whole.combine(grams[2]))
    torch.set_rng_state(seed)
    assert torch.equal(resumed.combine(grams[2]), steps[2])
    torch.set_rng_state(seed)
    assert not torch.equal(build().combine(grams[2]), steps[2]), 'the memory has a say'


def test_gradients_that_depend_but_for_rounding():
    """The third is the sum of the others, up to 1e-8: it adds no direction, though its rest has one in 64 bits."""
    rows = torch.randn(2, 50, dtype=torch.float64)
    rows = torch.cat([rows, rows.sum(dim=0, keepdim=True) + 1e-8 * torch.randn(1, 50, dtype=torch.float64)])
    exact = rows.clone()
    exact[2] = exact[0] + exact[1]
    found, wanted = (AlignedMTL().combine(x @ x.t()) @ x for x in (rows, exact))
    assert_close(found, wanted, rtol=1e-3, atol=1e-3)


def test_size_of_the_losses_as_the_method_sees_it():
    """FairGrad depends on it: it is that of the unscaled losses, whatever the scale of mixed precision is."""
    found = []
    for scale in (1.0, 1024.0):
        surgery, x = MODELS.build(dict(type='FairGrad', alpha=2.0)), torch.zeros(2, requires_grad=True)
        surgery.scale = torch.tensor(scale)
        y = x * 1
        found.append(surgery((y,), dict(loss_a=y[0], loss_b=2 * y[1]), MultiTaskOutput(dict(a=y, b=y))))
    assert_close(found[0], found[1], rtol=1e-4, atol=1e-4)


def test_wrong_options_and_missing_packages_are_named(monkeypatch):
    with pytest.raises(ValueError, match=r"type='CAGrad'\): missing a required argument: 'c'. It takes c, norm_eps"):
        MODELS.build(dict(type='CAGrad'))
    with pytest.raises(ValueError, match=r"type='MGDA'.*'eps'. It takes epsilon, max_iters"):
        MODELS.build(dict(type='MGDA', eps=1))
    monkeypatch.setattr('torchjd._mixins.find_spec', lambda name: None)
    for name, package in PACKAGES.items():
        with pytest.raises(
            ValueError, match=rf"type='{name}'\) needs packages.*{package}.*pip install -r requirements/surg"
        ):
            MODELS.build(dict(type=name, **OPTIONS.get(name, {})))


# ---- the hooks -------------------------------------------------------------------------------------------------------
def toy_losses(x):
    """Tasks with the gradients (1, 0) and (-1, 1) at x, and a term of no task with (0, 7)."""
    losses = dict(loss_a=x[0], loss_initial_b=-x[0], loss_b=x[1], loss_load_balance=7 * x[1])
    return losses, MultiTaskOutput(dict(a=x, b=x), dict(initial=dict(b=x)))


@pytest.mark.parametrize('scale', [1.0, 1024.0])
def test_other_terms_and_the_scale_of_the_losses(scale):
    """The features get (0.5, 1.5) of the tasks and (0, 7) beside it, times whatever multiplies the losses."""
    surgery, parameter = PCGrad(), nn.Parameter(torch.zeros(2))
    for _ in range(2):  # measured at the scale 1, then at the one seen
        parameter.grad = None
        x = 3 * parameter
        losses, output = toy_losses(x)
        logged = surgery((x,), losses, output)
        assert_close(torch.stack(list(logged.values())), torch.tensor([2, 1.5]))
        (scale * sum(losses.values())).backward()
        assert_close(parameter.grad, 3 * scale * torch.tensor([0.5, 8.5]))
    assert list(logged) == ['gradient_weight_a', 'gradient_weight_b']


def test_levels_count_together():
    """Gradients (1, -1) and (0, 2), an entry per level: the first loses half of the second, the second all of (-1)."""
    first, second = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))
    feats = (first * 1, second * 1)
    losses = dict(loss_a=feats[0][0] - feats[1][0], loss_b=2 * feats[1][0])
    PCGrad()(feats, losses, MultiTaskOutput(dict(a=0, b=0)))
    sum(losses.values()).backward()
    # a: (1, -1) + 2 / 4 (0, 2) = (1, 0). b: (0, 2) + 2 / 2 (1, -1) = (1, 1).
    assert_close(torch.cat([first.grad, second.grad]), torch.tensor([2.0, 1.0]))


def test_a_gradient_that_overflows_changes_nothing():
    parameter = nn.Parameter(torch.zeros(2))
    x = parameter * 1
    losses = dict(loss_a=x[0] * torch.inf, loss_b=x[1])
    logged = AlignedMTL()((x,), losses, MultiTaskOutput(dict(a=0, b=0)))
    assert_close(torch.stack(list(logged.values())), torch.ones(2))


def test_needs_shared_features_that_learn():
    losses, output = toy_losses(torch.zeros(2))
    with pytest.raises(ValueError, match='frozen_backbone=True'):
        PCGrad()((torch.zeros(2),), losses, output)
    with pytest.raises(ValueError, match='task-conditioned'):
        PCGrad()(dict(a=torch.zeros(2, requires_grad=True)), losses, output)


# ---- a whole model ---------------------------------------------------------------------------------------------------
def build_toy(method):
    init_default_scope('mlore_mm')
    torch.manual_seed(0)
    model = MODELS.build(
        dict(
            type='MultiTaskEncoderDecoder',
            backbone=dict(type='ToyEncoder'),
            decode_head=dict(type='MultiTaskFCNHead', in_channels=[4], embed_dims=6),
            tasks={name: TASKS[name] for name in ('semseg', 'depth', 'normals')},
            gradient_surgery=method and dict(type=method),
        )
    ).train()
    for module in model.modules():  # images of a batch then do not depend on each other
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
    return model


def gradients(model, losses, scale=1.0):
    model.zero_grad()
    (scale * model.parse_losses(losses)[0]).backward()
    return {name: x.grad.clone() for name, x in model.named_parameters()}


def by_part(values, part):
    return torch.cat([x.flatten() for name, x in values.items() if name.startswith(part)])


@pytest.mark.parametrize('method', METHODS)
def test_encoder_gets_the_weighted_sum_and_the_decoder_the_plain_one(method):
    model, images = build_toy(method), torch.randn(2, 3, 16, 24)
    samples = make_samples(model, images)
    losses = model(images, samples, mode='loss')
    found = gradients(model, losses)
    plain = build_toy(None)
    wanted = gradients(plain, plain(images, samples, mode='loss'))
    assert_close(by_part(found, 'decode_head'), by_part(wanted, 'decode_head'))
    encoder = 0
    for name in model.tasks:
        weight, loss = losses[f'gradient_weight_{name}'], plain(images, samples, mode='loss')[f'loss_{name}']
        own = torch.autograd.grad(loss, list(plain.backbone.parameters()))
        encoder = encoder + weight * torch.cat([x.flatten() for x in own])
    assert_close(by_part(found, 'backbone'), encoder, rtol=1e-4, atol=1e-6)
    assert (by_part(found, 'backbone') - by_part(wanted, 'backbone')).norm() > 1e-3 * encoder.norm()


def test_only_in_training_and_only_with_several_tasks():
    model, images = build_toy('PCGrad'), torch.randn(1, 3, 16, 24)
    samples = make_samples(model, images)
    assert 'gradient_weight_depth' in model.loss(images, samples)
    assert list(model.loss(images, samples, tasks=['depth'])) == ['loss_depth']
    with torch.no_grad():
        assert 'gradient_weight_depth' not in model.loss(images, samples)
    assert 'gradient_weight_depth' not in model.eval().loss(images, samples)


def test_mlore_with_recomputation_learns_in_16_bits():
    """Routers, recomputed maps and batch norms in training; the weights agree with those of 32 bits."""
    model = build_mlore()
    model.gradient_surgery = PCGrad()
    model.train()
    images = torch.randn(2, 3, 32, 48)
    samples = make_samples(model, images)
    logged = []
    for enabled in (False, True):
        torch.manual_seed(0)
        with torch.autocast('cpu', torch.bfloat16, enabled=enabled):
            losses = copy.deepcopy(model).train().forward(images, samples, mode='loss')
        logged.append(torch.stack([losses[f'gradient_weight_{name}'] for name in model.tasks]))
    assert_close(*logged, rtol=0.1, atol=0.1)
    wrapper = OptimWrapper(torch.optim.SGD(model.parameters(), lr=1e-3), accumulative_counts=2)
    before = copy.deepcopy(model.state_dict())
    for _ in range(2):
        logs = model.train_step(dict(inputs=list(images), data_samples=samples), wrapper)
    assert 'gradient_weight_semseg' in logs
    assert all(x.isfinite().all() for x in model.state_dict().values())
    assert (
        model.decode_head.heads['normals'].norm.num_batches_tracked
        == before['decode_head.heads.normals.norm.num_batches_tracked'] + 2
    )
    assert not torch.equal(
        before['backbone.patch_embed.projection.weight'], model.state_dict()['backbone.patch_embed.projection.weight']
    )


# ---- two processes ---------------------------------------------------------------------------------------------------
def train_half(method):
    """Gradients of this process's half of the images, after DistributedDataParallel has averaged them."""
    rank = torch.distributed.get_rank()
    model, (images, samples) = build_toy(method), batch()
    half = slice(2 * rank, 2 * rank + 2)
    torch.manual_seed(rank)  # PCGrad draws on rank 0
    wrapped = DistributedDataParallel(model)
    losses = wrapped(images[half], samples[half], mode='loss')
    return gradients(model, losses), [float(losses[f'gradient_weight_{name}']) for name in model.tasks]


def batch():
    torch.manual_seed(3)
    images = torch.randn(4, 3, 16, 24)
    return images, make_samples(build_toy(None), images)


@pytest.mark.parametrize('method', METHODS)
def test_two_processes_do_what_one_does_with_all_images(tmp_path, method):
    (first, weights_0), (second, weights_1) = run_in_processes(train_half, tmp_path, method)
    assert weights_0 == weights_1
    model, (images, samples) = build_toy(method), batch()
    torch.manual_seed(0)
    losses = model(images, samples, mode='loss')
    assert weights_0 == pytest.approx([float(losses[f'gradient_weight_{name}']) for name in model.tasks], rel=1e-4)
    wanted = gradients(model, losses)
    for name, value in wanted.items():
        assert_close(first[name], second[name], rtol=0, atol=0)
        assert_close(first[name], value, rtol=1e-4, atol=1e-6)


def test_a_gradient_that_overflows_changes_nothing_with_pcgrad():
    """AlignedMTL falls back to ones by itself, this method would not."""
    parameter = nn.Parameter(torch.zeros(2))
    x = parameter * 1
    losses = dict(loss_a=-x[0] * torch.inf + x[1], loss_b=x[0])
    logged = PCGrad()((x,), losses, MultiTaskOutput(dict(a=0, b=0)))
    assert_close(torch.stack(list(logged.values())), torch.ones(2))


def test_numbers_that_are_not_finite_change_nothing():
    """Of methods that work number by number; others have weights of one then."""
    change, weights = MODELS.build(dict(type='GradDrop')).changes(
        [[torch.tensor([torch.inf, 1.0])] * 2], torch.ones(())
    )
    assert weights is None
    assert change[0][0] == 0


def test_a_leak_of_all_is_the_sum():
    """Signs that lose are let through whole."""
    surgery, rows = MODELS.build(dict(type='GradDrop', leak=[1.0, 1.0])), torch.randn(2, 2, 3)
    change, _ = surgery.changes([list(rows)], torch.ones(()))
    assert_close(change[0], torch.zeros(2, 3))


def test_a_smoothed_method_may_be_named_alone():
    gram = gram_of((1, 0), (-1, 1))
    by_name, by_dict = (
        MODELS.build(dict(type='CRMOGM', weighting=w, alpha=0.5)) for w in ('PCGrad', dict(type='PCGrad'))
    )
    assert_close(by_name.combine(gram), by_dict.combine(gram))


def test_precision_in_which_gradients_depend():
    """Eigenvalues of 1e-9 of the largest are rounding of 32 bits; of 1e-3 they are a direction, and none is none.

    Rounding reaches to the number of gradients (here 2) times what one bit is worth: 2.4e-7 and 4.4e-16.
    """
    rounding = torch.float32
    for smallest, dtype in ((1e-9, rounding), (2e-7, rounding), (3e-7, torch.float64), (1e-3, torch.float64)):
        assert _in_its_precision(torch.diag(weights(1.0, smallest))).dtype == dtype
    for smallest, dtype in ((0.0, torch.float64), (3e-16, torch.float64), (6e-16, rounding)):
        assert _in_its_precision(torch.diag(weights(1.0, smallest))).dtype == dtype


def test_levels_that_do_not_learn_are_left_out():
    parameter = nn.Parameter(torch.zeros(2))
    x = parameter * 1
    losses = dict(loss_a=x[0], loss_b=-x[0] + x[1])
    PCGrad()((torch.zeros(2), x), losses, MultiTaskOutput(dict(a=0, b=0)))
    sum(losses.values()).backward()
    assert_close(parameter.grad, torch.tensor([0.5, 1.5]))


def test_terms_of_a_task():
    """Final and auxiliary ones; a task that is not predicted has the latter alone."""
    losses = dict(
        loss_a=torch.tensor(1.0),
        loss_first_a=torch.tensor(2.0),
        loss_first_b=torch.tensor(4.0),
        loss_c=torch.tensor(8.0),
    )
    terms = task_terms(losses, MultiTaskOutput(dict(a=0), dict(first=dict(a=0, b=0))))
    assert {name: x.item() for name, x in terms.items()} == dict(a=3, b=4)
