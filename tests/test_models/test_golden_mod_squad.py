"""Mod-Squad against the numbers of the published implementation."""

import pytest
import torch
from torch.testing import assert_close

from mlore_mm.models.backbones.mod_squad_vit import Routed
from tests.golden_mod_squad import NAMES, Golden, golden_place

BOTH = pytest.mark.parametrize('dtype', [torch.float64, torch.float32], ids=['fp64', 'fp32'])
MODELS = pytest.mark.parametrize('name', NAMES)


@pytest.mark.parametrize('folded', [True, False], ids=['folded', 'one by one'])
@BOTH
@MODELS
def test_outputs_and_routing_in_evaluation(name, dtype, folded):
    golden = Golden(name, dtype, folded)
    with torch.no_grad():
        outputs, trace = golden.run(golden.model().eval(), golden.passes()[0][0])
    exact = dtype is torch.float64
    for task, wanted in golden.expected['eval_outputs'].items():
        found = outputs[task][:, :, 0, 0] if wanted.dim() == 2 else outputs[task].permute(0, 2, 3, 1)
        assert_close(found, wanted.to(dtype), atol=1e-6 if exact else 1e-4, rtol=0)
    routes = golden.expected['routes_eval']
    assert len(trace.records) == len(routes)
    for record in trace.records:
        wanted = routes[f'{record.task}/{golden_place(record.layer)}']
        limit = 1e-9 if exact else 1e-5
        assert_close(record.flat_probabilities.double(), wanted['probs_plus_eps'], atol=limit, rtol=0)
        assert torch.equal(record.flat_experts.sort(dim=1).values, wanted['top_idx'])


@MODELS
def test_inside_of_every_layer(name):
    golden = Golden(name)
    layers = golden.model().eval().backbone.layers
    for place, wanted in golden.expected['layers_first_task_eval'].items():
        _, i, part = place.split('.')
        module, x = getattr(layers[int(i)], part), wanted['input'][None]
        found = module(x, golden.tasks[:1]) if isinstance(module, Routed) else module(x)
        assert_close(found[0], wanted['output'], atol=1e-10, rtol=1e-10)


@pytest.mark.parametrize('folded', [True, False], ids=['folded', 'one by one'])
@BOTH
@MODELS
def test_three_steps_of_training(name, dtype, folded):
    golden = Golden(name, dtype, folded)
    meta, model = golden.meta, golden.model().train()
    exact = dtype is torch.float64
    close = dict(rel=1e-6 if exact else 1e-4, abs=1e-9 if exact else 1e-6)
    optimizer = torch.optim.SGD(model.parameters(), lr=meta['sgd_lr'])
    for (images, targets), wanted, usage in zip(
        golden.passes(), meta['trajectory'], meta['usage_ema_after_each_pass'], strict=True
    ):
        found = golden.losses(model, images, targets)
        assert {k: x.item() for k, x in found['task_losses'].items()} == pytest.approx(wanted['task_losses'], **close)
        assert found['weighted_task_sum'].item() == pytest.approx(wanted['weighted_task_sum'], **close)
        assert found['total'].item() == pytest.approx(wanted['total'], **close)
        check_layers(model.criterion.auxiliary_losses['routers'], found['trace'], wanted, close)
        for layer in model.backbone.layers:
            for part in (layer.attn, layer.mlp):
                if isinstance(part, Routed):
                    counts = torch.tensor(usage[golden_place(part.name)])
                    assert_close(part.usage.count.float(), counts, atol=1e-5, rtol=1e-5)
        optimizer.zero_grad()
        found['total'].backward()
        if wanted['step'] == 0:
            check_gradients(golden, model, 1e-6 if exact else 1e-3)
        optimizer.step()
        if wanted['step'] == 0:
            check_after_one_step(golden, model, close)


def check_layers(loss, trace, wanted, close) -> None:
    for layer, records in trace.by_layer().items():
        place = golden_place(layer)
        terms, numbers = loss.of_layer(records), wanted['aux_per_layer'][place]
        assert terms['mutual_information'].item() == pytest.approx(numbers['MI'], **close)
        assert terms['switch'].item() == pytest.approx(numbers['switch'], **close)
        assert terms['z'].item() == pytest.approx(numbers['z'], **close)
        top_k = wanted['topk_loss_weighted_per_layer_per_task'].get(place)
        if top_k and any(top_k):
            found = [loss.top_k[place.split('.')[-1]] * loss.of_task(record).item() for record in records]
            assert found == pytest.approx(top_k, **close)


def check_gradients(golden, model, rel) -> None:
    named = {name: x.grad if x.grad is not None else torch.zeros_like(x) for name, x in model.named_parameters()}
    found, norms = golden.table.to_published(named), golden.expected['grad_norms']
    for key, wanted in norms.items():
        if wanted is not None:
            assert found[key].norm().item() == pytest.approx(wanted, rel=rel, abs=1e-7), key
    assert len([x for x in norms.values() if x is not None]) > 70
    if rel == 1e-6:
        for key, wanted in golden.expected['grads'].items():
            assert_close(found[key], wanted.double(), atol=1e-7, rtol=1e-6, msg=lambda text, key=key: f'{key}: {text}')


def check_after_one_step(golden, model, close) -> None:
    usage = {name: x.clone() for name, x in model.named_buffers()}  # which legacy counts in evaluation too
    images, targets = golden.passes()[0]
    with torch.no_grad():
        found, wanted = golden.losses(model.eval(), images, targets), golden.meta['after_1_step_on_first_batch']
    assert found['total'].item() == pytest.approx(wanted['total'], **close)
    model.train().load_state_dict(usage, strict=False)
