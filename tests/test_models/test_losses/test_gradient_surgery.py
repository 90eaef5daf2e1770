"""Gradient surgery through its hooks, a whole model, and in two processes."""

import copy

import pytest
import torch
from mmengine.optim import OptimWrapper
from mmengine.registry import init_default_scope
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.testing import assert_close

import tests.toy_parts  # noqa: F401  registers the toys
from mlore_mm.models.losses import AlignedMTL, PCGrad
from mlore_mm.models.losses.gradient_surgery import task_terms
from mlore_mm.models.output import MultiTaskOutput
from mlore_mm.registry import MODELS
from tests.distributed import run_in_processes
from tests.mlore_models import TASKS, build_mlore, make_samples

METHODS = ['PCGrad', 'AlignedMTL', 'MGDA']


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
