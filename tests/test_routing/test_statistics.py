import math

import pytest
import torch

from mlore_mm.routing import record_routing, trace_routing
from mlore_mm.routing.statistics import RoutingStats

# Two images, four experts.
SEMSEG = torch.tensor([[0.5, 0.5, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0]])
DEPTH = torch.tensor([[0.0, 0.2, 0.2, 0.0], [0.0, 0.0, 0.8, 0.0]])


def traced(**gates):
    with trace_routing() as trace:
        for task, values in gates.items():
            record_routing('layer', task, values, values)
    return trace


@pytest.fixture(params=[(slice(0, 2),), (slice(0, 1), slice(1, 2))], ids=['one batch', 'two batches'])
def layer(request):
    stats = RoutingStats()
    for part in request.param:
        stats.update(traced(semseg=SEMSEG[part], depth=DEPTH[part]))
    return stats.layers()['layer']


def test_numbers_by_hand(layer):
    assert (layer.tasks, layer.images, layer.counted) == (('semseg', 'depth'), 2, '2 images')
    assert layer.mean_gate == pytest.approx(torch.tensor([[0.75, 0.25, 0, 0], [0, 0.1, 0.5, 0]]).numpy())
    assert layer.selection.tolist() == [[1, 0.5, 0, 0], [0, 0.5, 1, 0]]
    # Half of the images use two experts evenly (ln 2), the others one (0); depth's gates are brought to a sum of 1.
    assert layer.entropy == pytest.approx([math.log(2) / 2, math.log(2) / 2])
    # {0, 1} and {1, 2} have one of three in common, {0} and {2} none.
    assert layer.similarity == pytest.approx(torch.tensor([[1, 1 / 6], [1 / 6, 1]]).numpy())
    assert layer.mean_similarity == pytest.approx(1 / 6)
    assert layer.load == pytest.approx([0.375, 0.175, 0.25, 0])
    variance = sum((x - 0.2) ** 2 for x in (0.375, 0.175, 0.25, 0)) / 3
    assert layer.load_variation == pytest.approx(variance / 0.04)
    assert layer.unused == [3]
    assert layer.spread == pytest.approx([(0.25 + 0.25) / 4, (0.1 + 0.3) / 4])
    assert layer.to_dict()['selection'] == [[1, 0.5, 0, 0], [0, 0.5, 1, 0]]


def test_routing_that_ignores_the_image_has_no_spread():
    stats = RoutingStats()
    stats.update(traced(depth=SEMSEG[:1].expand(5, -1)))
    layer = stats.layers()['layer']
    assert layer.spread == pytest.approx([0], abs=1e-9)
    assert layer.mean_similarity == 1


def test_mistakes():
    stats = RoutingStats()
    with pytest.raises(ValueError, match='No router wrote'):
        stats.update(traced())
    stats.update(traced(depth=DEPTH))
    with pytest.raises(ValueError, match=r"\('semseg',\) after \('depth',\)"):
        stats.update(traced(semseg=SEMSEG))


def test_tokens_are_no_images():
    """Two images of three tokens: means are over six tokens, and two images are reported."""
    gates = torch.tensor([[[1.0, 0], [0, 1], [0, 1]], [[1, 0], [1, 0], [1, 0]]])
    stats = RoutingStats()
    stats.update(traced(depth=gates))
    stats.update(traced(depth=gates[:1]))
    layer = stats.layers()['layer']
    assert (layer.images, layer.decisions, layer.per_token) == (3, 9, True)
    assert layer.counted == '3 images of 3 tokens'
    assert layer.mean_gate == pytest.approx(torch.tensor([[5 / 9, 4 / 9]]).numpy())
    assert layer.to_dict()['images'] == 3
    assert layer.to_dict()['decisions'] == 9


def test_images_without_any_expert_and_layers_of_one():
    stats = RoutingStats()
    stats.update(traced(depth=torch.zeros(2, 3)))
    layer = stats.layers()['layer']
    assert (layer.entropy.tolist(), layer.similarity.tolist(), layer.load_variation) == ([0], [[0]], 0)
    assert layer.unused == [0, 1, 2]
    stats = RoutingStats()
    stats.update(traced(depth=torch.ones(2, 1), edge=torch.ones(2, 1)))
    layer = stats.layers()['layer']
    assert (layer.load_variation, layer.mean_similarity, layer.unused) == (0, 1, [])
    assert layer.to_dict()['experts'] == 1


def test_a_task_that_a_layer_routes_twice_counts_both():
    """Two passes of one task in a trace, as of two windows."""
    with trace_routing() as trace:
        for gates in (SEMSEG[:1], SEMSEG[1:]):
            record_routing('layer', 'semseg', gates, gates)
    stats = RoutingStats()
    stats.update(trace)
    layer = stats.layers()['layer']
    assert (layer.images, layer.decisions) == (2, 2)
    assert layer.mean_gate == pytest.approx(torch.tensor([[0.75, 0.25, 0, 0]]).numpy())
