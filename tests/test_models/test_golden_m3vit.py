"""M3ViT against the numbers of the published implementation."""

import pytest
import torch
from torch.testing import assert_close

from mlore_mm.routing import trace_routing
from tests.golden_m3vit import NAMES, Golden, load_compressed, routing_by_name, run
from tests.shared import REPO

DATA = REPO / 'tests' / 'data' / 'm3vit'


def check(golden: Golden) -> None:
    rows = list(run(golden))
    assert len(rows) > 100
    wrong = [f'{what}: {found:.2e} above {limit:.0e}' for what, found, limit in rows if not found <= limit]
    assert not wrong, '\n'.join(wrong)


@pytest.mark.parametrize('folded', [True, False], ids=['folded', 'one by one'])
@pytest.mark.parametrize('dtype', [torch.float64, torch.float32], ids=['fp64', 'fp32'])
@pytest.mark.parametrize('name', NAMES)
def test_every_number(name, dtype, folded):
    check(Golden(name, dtype, folded))


@pytest.mark.parametrize('name', ['nyud_noise', 'ahead_tam', 'three_tam_dense'])
def test_every_number_with_the_load_estimate_corrected(name):
    check(Golden(name, corrected=True))


@pytest.mark.parametrize('folded', [True, False], ids=['folded', 'one by one'])
def test_essential_numbers_without_the_reference_data(folded):
    check(Golden('three_tam_dense', folder=DATA, folded=folded))


@pytest.mark.parametrize('name', NAMES)
def test_inside_of_every_mixture(name):
    golden = Golden(name)
    model = golden.model().eval()
    layers = {layer.name.replace('backbone/block', 'layer'): layer for layer in model.backbone.layers[1::2]}
    for place, wanted in golden.expected['moe_io'].items():
        layer, task = layers[place.split('.')[0]], place.split('.')[1]
        features = model.backbone.task_features and model.backbone.task_features([task])
        routing = layer.router(wanted['gate_input'][None], [task], features)
        assert_close(layer.mixture(wanted['input'][None], routing)[0], wanted['output'], atol=1e-10, rtol=1e-10)


def test_inside_of_a_mixture_without_the_reference_data():
    """Two of six experts, by a router that is told the task."""
    from mlore_mm.models.layers import ConditionedRouter, TaskFeatures, TokenMixture

    file = load_compressed(DATA / 'conditioned_layer1.pth.xz')
    weights = {k.removeprefix('module.backbone.'): x.double() for k, x in file['weights'].items()}
    order = ['semseg', 'normals', 'edge', 'depth']
    features = TaskFeatures(order, 5).double()
    prefix = 'gate_task_represent.'
    columns = weights[prefix + 'fc1.weight'].unbind(dim=1)
    features.load_state_dict(
        {
            **{f'columns.{task}': column for task, column in zip(order, columns, strict=True)},
            **{key: weights[prefix + key] for key in ('fc2.weight', 'fc2.bias', 'norm.weight', 'norm.bias')},
            'bias': weights[prefix + 'fc1.bias'],
        }
    )
    router = ConditionedRouter(18, 5, 6, dict(top_k=2, noise='none')).double()
    mixture = TokenMixture(18, 36, 6, 2).double()
    with torch.no_grad():
        router.weight.copy_(weights['blocks.1.mlp.gate.w_gate'])
        for ours, theirs in ((mixture.fc1, 'htoh4'), (mixture.fc2, 'h4toh')):
            ours.weight.copy_(weights[f'blocks.1.mlp.experts.{theirs}.weight'])
            ours.bias.copy_(weights[f'blocks.1.mlp.experts.{theirs}.bias'])
        for task, wanted in file['io'].items():
            with trace_routing() as trace:
                routing = router(wanted['gate_input'][None], [task], features([task]))
                routing.of(0).record('backbone/block1', task)
            (record,) = routing_by_name(trace).values()
            assert torch.equal(record.flat_experts, file['routing'][task]['topk_idx'])
            for form in (mixture, mixture.plain):
                assert_close(form(wanted['input'][None], routing)[0], wanted['output'], atol=1e-10, rtol=1e-10)
