import pytest
import torch

from mlore_mm.models.features import Features

A, B = torch.zeros(1, 2, 4, 4), torch.ones(1, 3, 2, 2)


def test_what_backbones_return_becomes_features():
    assert Features.wrap(A).shared == (A,)
    assert Features.wrap([A, B]).of('depth') == (A, B)
    per_task = Features.wrap(dict(depth=[A], edge=B))
    assert per_task.of('edge') == (B,)
    assert not per_task.is_shared
    assert Features.wrap(per_task) is per_task


def test_own_levels_come_before_shared_ones():
    feats = Features(shared=(A,), per_task=dict(depth=(B,)))
    assert feats.of('depth') == (B,)
    assert feats.of('edge') == (A,)
    assert feats.tensors() == [A, B]


def test_a_map_reaches_every_level_and_keeps_the_extras():
    feats = Features(shared=(A,), per_task=dict(depth=(B,)), extras=dict(prompts=1)).map(lambda x: x[0] + 1)
    assert feats.of('edge')[0].mean() == 1
    assert feats.of('depth')[0].mean() == 2
    assert feats.extras == dict(prompts=1)


def test_missing_features_are_named():
    with pytest.raises(ValueError, match=r"task 'edge', only for \['depth'\].*required_tasks"):
        Features(per_task=dict(depth=(A,))).of('edge')


def test_what_is_no_map_is_named():
    with pytest.raises(ValueError, match='dict'):
        Features.wrap([A, dict(x=A)])


def test_a_map_leaves_out_what_there_is_not():
    """A neck is not asked for levels of nobody; a single map is a level as well."""
    feats = Features(per_task=dict(depth=(A,))).map(lambda levels: levels[0] + 1)
    assert feats.shared == ()
    assert feats.of('depth')[0].mean() == 1
    assert Features().is_shared
    with pytest.raises(ValueError, match='returned none'):
        Features.wrap([])
