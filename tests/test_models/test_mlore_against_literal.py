"""The decoder in its fast forms against the equations taken literally, over many configurations."""

from copy import deepcopy
from types import SimpleNamespace

import pytest
import torch
from torch.testing import assert_close

from benchmarks.literal_mlore import LiteralMLoREHead
from mlore_mm.models.layers import ChosenMixture, WideMixture, mlore_block
from mlore_mm.models.layers.wide_mixture import choosing_pays
from mlore_mm.routing import trace_routing
from tests.golden_checks import evaluation_forms
from tests.mlore_models import build_mlore, make_samples

CASES = {
    'select last': dict(),
    'select first': dict(pre_softmax=True),
    'one expert': dict(top_k=1, pre_softmax=True),
    'all experts': dict(top_k=4),
    'unsorted ranks, some equal': dict(ranks=(6, 2, 6, 1, 3, 2, 5), top_k=3),
    'wide, tall image': dict(width=40, ranks=(16, 4, 9), grid=(4, 1)),
    'eight blocks deep': dict(depth=8, backbone=dict(out_indices=(1, 4, 5, 7))),
    'four tasks': dict(tasks=('depth', 'edge', 'normals', 'semseg')),
    'gradient through the generic path': dict(detach_generic=False),
}


@pytest.fixture(params=['in one batch', 'by sample'])
def path(request, monkeypatch):
    """The way in which a CPU computes small maps, and the one for large maps."""
    if request.param == 'by sample':
        monkeypatch.setattr('mlore_mm.models.layers.wide_mixture.CHOOSING_PAYS_FROM', 0)
        monkeypatch.setattr('mlore_mm.models.ops.winograd.FEWEST_PAIRS', 0)
        monkeypatch.setattr('mlore_mm.models.ops.winograd.FEWEST_PIXELS', 0)


@pytest.fixture(params=CASES, ids=CASES)
def pair(request, path):
    """The model, the same with a literal decoder, and a batch of three."""
    case = CASES[request.param]
    model = build_mlore(**case)
    literal = deepcopy(model)
    literal.decode_head = LiteralMLoREHead(literal.decode_head)
    h, w = case.get('grid', (2, 3))
    return model, literal, torch.randn(3, 3, 16 * h, 16 * w)


def test_evaluation(pair):
    model, literal, images = pair
    model.eval(), literal.eval()
    with torch.no_grad(), trace_routing() as wanted_routing:
        wanted = literal(images)
    for form, outputs in evaluation_forms(model, images):
        for name, logits in outputs.items():
            assert_close(logits, wanted[name], atol=1e-4, rtol=1e-4, msg=lambda m, n=name, f=form: f'{f}, {n}: {m}')
    with torch.no_grad(), trace_routing() as routing:
        model(images)
    by_place = {(r.layer, r.task): r.gates for r in wanted_routing.records}
    assert len(routing.records) == len(by_place) == 8 * len(model.tasks)
    for record in routing.records:
        assert_close(record.gates, by_place[record.layer, record.task], atol=1e-5, rtol=0)


def test_training(pair):
    """Losses, every gradient, and the statistics; with routing noise, drawn alike."""
    model, literal, images = pair
    gradients, losses = [], []
    for network in (model, literal):
        network.train()
        torch.manual_seed(5)
        losses.append(network(images, make_samples(model, images), mode='loss'))
        sum(losses[-1].values()).backward()
        gradients.append({n.replace('head.head.', 'head.'): p.grad for n, p in network.named_parameters()})
    assert_close(losses[0], losses[1], atol=1e-5, rtol=1e-4)
    scale = max(g.abs().max() for g in gradients[1].values())
    assert set(gradients[0]) == set(gradients[1])
    for name, gradient in gradients[0].items():
        wanted = gradients[1][name]
        deviation = (gradient - wanted).norm()
        assert deviation <= 1e-3 * wanted.norm() + 1e-6 * scale, (name, deviation, wanted.norm())
    ours, theirs = dict(model.named_buffers()), dict(literal.named_buffers())
    for name, value in ours.items():
        if 'running' in name:
            assert_close(value, theirs[name.replace('decode_head.', 'decode_head.head.')], atol=1e-4, rtol=1e-3)


def test_three_steps_of_adam_in_double_precision(monkeypatch):
    """With rounding out of the way both forms take the same path; Adam makes a full step of any wrong sign."""
    monkeypatch.setattr(torch.Tensor, 'float', torch.Tensor.double)  # losses compute in fp32, whatever they get
    model, steps = build_mlore().double(), []
    literal = deepcopy(model)
    literal.decode_head = LiteralMLoREHead(literal.decode_head)
    images = torch.randn(3, 3, 32, 48, dtype=torch.float64)
    samples = make_samples(model, images)
    for network in (model, literal):
        optimizer = torch.optim.Adam(network.parameters(), lr=2e-3, weight_decay=1e-6)
        torch.manual_seed(5)
        totals = []
        for _ in range(3):
            optimizer.zero_grad()
            totals.append(sum(network.train()(images, samples, mode='loss').values()))
            totals[-1].backward()
            totals.append(torch.nn.utils.clip_grad_norm_(network.parameters(), 10))
            optimizer.step()
        steps.append(torch.stack(totals))
    assert_close(steps[0], steps[1], atol=0, rtol=1e-8)
    assert steps[0][4] < 0.999 * steps[0][0]  # the steps did change the model


def test_generic_path_does_not_teach_the_features():
    """With the published stop-gradient the features get another gradient than without; the outputs are the same."""
    images, results = torch.randn(2, 3, 32, 48), []
    for detach in (True, False):
        model = build_mlore(detach_generic=detach, gate=dict(noise='none')).train()
        sum(x.square().mean() for x in model(images).values()).backward()
        results.append(
            (model.decode_head.project[0].weight.grad, model.decode_head.stages[3][1].generic_conv.weight.grad)
        )
    assert_close(results[0][1], results[1][1])
    assert (results[0][0] - results[1][0]).norm() > 1e-2 * results[0][0].norm()


def test_when_single_experts_are_left_out(monkeypatch):
    """From 3e8 multiplications a sample on, on a CPU that runs them as they come."""
    weight = torch.empty(100_000_000, device='meta')
    parts = SimpleNamespace(experts=SimpleNamespace(reduce=SimpleNamespace(weight=weight)))
    assert choosing_pays(parts, torch.empty(1, 1, 1, 2, 2))
    assert not choosing_pays(parts, torch.empty(1, 1, 1, 1, 3))
    assert not choosing_pays(parts, torch.empty(1, 1, 1, 2, 2, device='meta'))
    monkeypatch.setattr(torch.jit, 'is_tracing', lambda: True)
    assert not choosing_pays(parts, torch.empty(1, 1, 1, 2, 2))


def test_a_block_takes_the_form_that_pays(monkeypatch):
    """Chosen experts for large maps; folding is then measured against their share of all."""
    block, u = build_mlore().decode_head.blocks()[0].eval(), torch.randn(2, 1, 12, 2, 3)
    asked = []
    monkeypatch.setattr(mlore_block, 'folding_pays', lambda parts, pixels, share: asked.append((pixels, share)))
    with torch.no_grad():
        for large in (False, True):
            monkeypatch.setattr(mlore_block, 'choosing_pays', lambda parts, u, large=large: large)
            assert type(block.choose_mixture(u, ['semseg'])) is (ChosenMixture if large else WideMixture)
    assert asked == [(6, None), (6, 2 / 4)]
    assert type(block.choose_mixture(u, ['semseg'])) is ChosenMixture  # with gradients nothing is folded
    assert len(asked) == 2


@pytest.mark.parametrize(
    ('with_cp', 'training', 'form'),
    [(True, True, 'auto'), (True, False, 'auto'), (False, True, 'auto'), (True, True, 'literal')],
)
def test_a_block_recomputes_in_training_only(with_cp, training, form, monkeypatch):
    asked = []
    monkeypatch.setattr(mlore_block, 'recompute', lambda f, *maps, norms: asked.append(norms) or f(*maps))
    block = build_mlore(with_cp=with_cp).decode_head.blocks()[0].train(training)
    block.form = form
    block(torch.randn(1, 2, 12, 2, 3), ['semseg', 'normals'])
    assert asked == ([(block.norm_experts, block.norm)] if with_cp and training and form == 'auto' else [])


def test_a_block_is_deployed_once():
    block = build_mlore().decode_head.blocks()[0]
    block.switch_to_deploy()
    deployed = block.deployed
    block.switch_to_deploy()
    assert block.deployed is deployed
    assert not hasattr(block, 'experts')
    assert hasattr(block, 'router')
