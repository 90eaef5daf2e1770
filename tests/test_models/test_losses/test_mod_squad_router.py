import math

import pytest
import torch

from mlore_mm.models.losses import LearnedScaleWeighting, ModSquadRouterLoss
from mlore_mm.routing import RouterRecord, RouterTrace
from mlore_mm.tasks import TaskSet
from tests.mlore_models import TASKS
from tests.shared import REPO


def record(probabilities, top_k, task='semseg', layer='backbone/block1/mlp') -> RouterRecord:
    p = torch.as_tensor(probabilities, dtype=torch.float64)[None]
    experts = p.topk(top_k).indices
    gates = torch.zeros_like(p).scatter(-1, experts, p.gather(-1, experts))
    return RouterRecord(layer, task, p, gates, p.clamp_min(1e-30).log(), experts=experts)


def test_tasks_that_share_all_experts_tell_nothing():
    rows = torch.tensor([[0.7, 0.2, 0.1], [0.1, 0.6, 0.3]], dtype=torch.float64)
    terms = ModSquadRouterLoss().of_layer([record(rows, 1), record(rows.flip(0), 1, 'depth')])
    assert terms['mutual_information'].item() == pytest.approx(0, abs=1e-9)


def test_tasks_with_experts_of_their_own_tell_all():
    terms = ModSquadRouterLoss().of_layer([record([[1.0, 0.0]] * 3, 1), record([[0.0, 1.0]] * 3, 1, 'depth')])
    assert terms['mutual_information'].item() == pytest.approx(-math.log(2))
    assert terms['switch'].item() == pytest.approx(1)
    assert terms['z'].item() == pytest.approx(0, abs=1e-9)


def test_switch_by_hand():
    # Q = (1.4, 0.6), c = (2, 0): 2 * 0.7 * 1
    assert ModSquadRouterLoss().of_layer([record([[0.8, 0.2], [0.6, 0.4]], 1)])['switch'].item() == pytest.approx(1.4)


def test_top_k_by_hand_and_its_limits():
    rows = [[0.4, 0.3, 0.2, 0.1]]
    loss = ModSquadRouterLoss(top_k=dict(mlp=1.0), top_k_limit=dict(mlp=3))
    assert loss.of_task(record(rows, 2)).item() == pytest.approx(0.01)
    assert loss.of_task(record(rows, 2, layer='backbone/block0/attn')).item() == pytest.approx(0.05)
    assert loss.of_task(record([[0.6, 0.4]], 2)).item() == 0, 'fewer experts than the limit'


def test_attention_alone_has_no_effect_as_published():
    trace = RouterTrace([record([[0.4, 0.3, 0.2, 0.1]], 2, layer='backbone/block0/attn')])
    options = dict(mutual_information=0.0, top_k=dict(attn=0.1))
    assert ModSquadRouterLoss(**options)(trace).item() == pytest.approx(0.1 * 0.05)
    assert ModSquadRouterLoss(**options, legacy=True)(trace).item() == 0


def test_published_block():
    file = torch.load(REPO / 'tests' / 'data' / 'mod_squad' / 'mlponly_tiny_block0.pth', weights_only=True)
    loss = ModSquadRouterLoss(top_k=dict(mlp=0.1), top_k_limit=dict(mlp=5), legacy=True)
    for part in ('attn', 'mlp'):
        records = []
        for task in file['tasks']:
            route = file['routes'][f'{task}/blocks.0.{part}']
            records.append(record(route['probs_plus_eps'], route['k'], task, f'backbone/block0/{part}'))
        terms, wanted = loss.of_layer(records), file['terms'][f'blocks.0.{part}']
        assert terms['mutual_information'].item() == pytest.approx(wanted['MI'], rel=1e-9)
        assert terms['switch'].item() == pytest.approx(wanted['switch'], rel=1e-9)
    assert [0.1 * loss.of_task(r).item() for r in records] == pytest.approx(file['top_k'], rel=1e-9)


def test_nothing_was_routed():
    with pytest.raises(ValueError, match='found no router record'):
        ModSquadRouterLoss()(RouterTrace())


def test_kinds_of_layers():
    with pytest.raises(ValueError, match="'attn' and 'mlp', but got .'attention'"):
        ModSquadRouterLoss(top_k=dict(attention=0.1))


def test_learned_scales_by_hand():
    weighting = LearnedScaleWeighting(TaskSet(TASKS))
    with torch.no_grad():
        weighting.scales.fill_(2.0)
    terms = weighting({'semseg': torch.tensor(8.0)})
    assert terms['semseg'].item() == pytest.approx(8 / 8 + math.log(5))
    terms['semseg'].backward()  # -L / a^3 + 2 a / (1 + a^2)
    assert weighting.scales.grad[weighting.index['semseg']].item() == pytest.approx(-1 + 0.8)


def test_every_term_has_its_weight():
    """Tasks with experts of their own: information log 2, switch 1, and z of logits (1, 1): (1 + log 2)^2."""
    rows = torch.tensor([[[1.0, 0.0]]]), torch.tensor([[[0.0, 1.0]]])
    trace = RouterTrace(
        [
            RouterRecord('a/mlp', task, p, p, torch.ones(1, 1, 2), experts=p.topk(1).indices)
            for task, p in zip(('semseg', 'depth'), rows, strict=True)
        ]
    )
    weights = dict(mutual_information=2.0, switch=3.0, z=5.0)
    expected = dict(mutual_information=-2 * math.log(2), switch=3.0, z=5 * (1 + math.log(2)) ** 2)
    for name, value in expected.items():
        loss = ModSquadRouterLoss(**{**dict.fromkeys(weights, 0.0), name: weights[name]})
        assert loss(trace).item() == pytest.approx(value, rel=1e-5), name
    assert ModSquadRouterLoss(**weights)(trace).item() == pytest.approx(sum(expected.values()), rel=1e-5)
    nothing = ModSquadRouterLoss(mutual_information=0.0)(trace)
    assert nothing.item() == 0
    assert ModSquadRouterLoss(top_k_limit=dict(mlp=0), top_k=dict(mlp=1.0), mutual_information=0)(trace).item() == 0


def test_information_where_a_token_takes_several_experts():
    """Each of two tasks has two of four experts to itself."""
    halves = [[0.5, 0.5, 0.0, 0.0]] * 2, [[0.0, 0.0, 0.5, 0.5]] * 2
    terms = ModSquadRouterLoss().of_layer([record(halves[0], 2), record(halves[1], 2, 'depth')])
    # sum c / k is the 4 tokens, so A = 2 * 0.5 / 4 = 1/4, P(t) = 1/2, P(e) = 1/4: sum A log 2 = log 2.
    assert terms['mutual_information'].item() == pytest.approx(-math.log(2))


def test_an_unknown_kind_of_limit_is_named():
    with pytest.raises(ValueError, match=r"but got \['block'\]"):
        ModSquadRouterLoss(top_k_limit=dict(block=1))
