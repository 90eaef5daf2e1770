import dataclasses
import json

import numpy as np
import pytest

from mlore_mm.tasks import NumbersResult, TaskSet
from mlore_mm.tasks.results import TaskResult

TASKS = TaskSet(
    dict(
        semseg=dict(type='SemSeg', out_channels=3, classes=('wall', 'floor', 'lamp')),
        human_parts=dict(type='HumanParts'),
        sal=dict(type='Saliency'),
        normals=dict(type='SurfaceNormals'),
        edge=dict(type='Edge'),
        depth=dict(type='Depth'),
        flow=dict(type='DenseRegression', out_channels=2),
    )
)


@pytest.mark.parametrize(
    ('task', 'pred', 'summary'),
    [
        ('semseg', [[[2, 0], [2, 2]]], dict(shares=dict(lamp=0.75, wall=0.25))),
        ('human_parts', [[[1, 1]]], dict(shares=dict(head=1.0))),
        ('sal', [[[0.25, 0.75]]], dict(min=0.25, mean=0.5, max=0.75, above_half=0.5)),
        ('edge', [[[0.0, 1.0]]], dict(min=0.0, mean=0.5, max=1.0, above_half=0.5)),
        ('normals', [[[1, 0]], [[0, 1]], [[0, 0]]], dict(mean=[0.5, 0.5, 0.0])),
        ('depth', [[[1, 2, 6]]], dict(min=1.0, mean=3.0, max=6.0, median=2.0, unit='m')),
        ('flow', [[[1, 2]], [[3, 4]]], dict(min=1.0, mean=2.5, max=4.0)),
    ],
)
def test_numbers_of_a_prediction(task, pred, summary):
    result = TASKS[task].result(np.array(pred, dtype=np.float32))
    assert (result.task, type(result)) == (task, TASKS[task].result_type)
    assert json.loads(json.dumps(result.summary())) == summary


def test_channels_come_last_where_there_are_several():
    result = TASKS['flow'].result(np.arange(12).reshape(2, 2, 3))
    assert isinstance(result, NumbersResult)
    assert result.values.shape == (2, 3, 2)
    assert result.values[1, 2].tolist() == [5, 11]
    assert TASKS['normals'].result(np.zeros((3, 2, 5))).unit.shape == (2, 5, 3)
    assert TASKS['depth'].result(np.zeros((1, 2, 5))).metres.shape == (2, 5)


def test_the_largest_share_comes_first():
    shares = TASKS['semseg'].result(np.array([[[2, 2, 0, 2]]])).shares()
    assert list(shares.items()) == [('lamp', 0.75), ('wall', 0.25)]


def test_numbers_that_are_none_do_not_count():
    nothing = dict(min=None, mean=None, max=None)
    assert TASKS['flow'].result(np.full((2, 1, 1), np.nan)).summary() == nothing
    assert TASKS['depth'].result(np.full((1, 1, 2), np.inf)).summary() == dict(nothing, median=None, unit='m')
    depth = TASKS['depth'].result(np.array([[[1, np.nan, 3, 9]]]))
    assert depth.summary() == dict(min=1, mean=4.333333, max=9, median=3, unit='m')
    assert TASKS['normals'].result(np.full((3, 1, 1), np.nan)).summary() == dict(mean=[None] * 3)
    assert TASKS['semseg'].result(np.array([[[-1, 0, 0, 1]]])).shares() == dict(wall=0.5, floor=0.25)
    with pytest.raises(NotImplementedError):
        _ = TaskResult(task='x').values


def test_half_is_not_above_the_threshold():
    result = TASKS['sal'].result(np.array([[[0.5, 0.51, 0.1]]]))
    assert result.mask().tolist() == [[False, True, False]]
    assert result.mask(0.05).all()


@pytest.mark.parametrize('name', TASKS)
def test_results_are_told_apart_by_identity_and_made_by_name(name):
    """Arrays have no single truth value that ``==`` could give."""
    made = TASKS[name].result(np.zeros((3 if name == 'normals' else 2 if name == 'flow' else 1, 2, 2)))
    assert made != dataclasses.replace(made)
    assert made.values.shape[:2] == (2, 2)
    with pytest.raises(TypeError, match='positional'):
        type(made)('x')
    with pytest.raises(dataclasses.FrozenInstanceError):
        made.task = 'y'
