"""The published layout of DenseMTL there and back, and the order of the sources."""

import pytest
import torch
from torch.testing import assert_close

from mlore_mm.converters import SYSTEMS, reorder_sources
from mlore_mm.registry import MODELS
from tools.model_converters.published2mm import parse_orders

TASKS = dict(
    semseg=dict(type='SemSeg', out_channels=4), depth=dict(type='InverseDepth'), normals=dict(type='SurfaceNormals')
)
WIDTHS = dict(in_channels=[4, 6, 6, 8, 8], channels=[4, 4, 6, 6, 8])


def head(kind):
    return MODELS.build(dict(type=kind, tasks=TASKS, **WIDTHS))


@pytest.mark.parametrize(('system', 'kind'), [('densemtl', 'DenseMTLHead'), ('pad_net_plus', 'PADNetPlusHead')])
def test_there_and_back(system, kind):
    state = {f'decode_head.{key}': value for key, value in head(kind).state_dict().items()}
    published = SYSTEMS[system].to_published(state)
    assert 'heads.semseg.decoder.0.convs.4.1.weight' in published
    doubled = {**published, 'params.semseg.0.decoder.0.convs.0.0.weight': torch.zeros(1)}
    ours, left_out = SYSTEMS[system].to_ours(doubled)
    assert_close(ours, state)
    assert list(left_out) == ['params.semseg.0.decoder.0.convs.0.0.weight']


def test_sources_in_the_order_of_the_tasks():
    key = 'decode_head.exchanges.1.join.semseg.0.weight'
    state = {key: torch.arange(4.0).reshape(1, 4, 1, 1)}
    order = parse_orders(['semseg=normals,depth'])
    assert order == dict(semseg=['normals', 'depth'])
    assert reorder_sources(state, list(TASKS), order)[key].flatten().tolist() == [2, 3, 0, 1]
    assert reorder_sources(state, list(TASKS), dict(semseg=['depth', 'normals']))[key].equal(state[key])
    with pytest.raises(ValueError, match='has to name all other tasks'):
        reorder_sources(state, list(TASKS), dict(semseg=['depth']))
    with pytest.raises(ValueError, match="'depth' needs an exchange"):
        reorder_sources(state, list(TASKS), dict(depth=['semseg', 'normals']))
    with pytest.raises(ValueError, match="'semseg' needs an exchange"):
        reorder_sources(state, list(TASKS), order, scale=2)
    assert state[key].flatten().tolist() == [0, 1, 2, 3]
