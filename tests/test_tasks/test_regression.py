import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal

from mlore_mm.tasks import DenseRegression, Depth

DEPTH = Depth(name='depth')


def metres(*values):
    return np.array([values], dtype=np.float32)


def test_zooming_in_brings_the_scene_closer():
    assert_array_equal(DEPTH.rescale_values(metres(0, 3, 9), 2), metres(0, 1.5, 4.5))


def test_zero_and_what_the_metric_does_not_take_are_no_readings():
    labels = torch.tensor([[[0.0, 0.5, 9.9, 79.9, 80.0, 500.0, torch.nan]]])
    assert DEPTH.valid_mask(labels).tolist() == [[[False, True, True, True, False, False, False]]]
    near = Depth(name='depth', metric=dict(type='DepthMetric', min_depth=0.5, max_depth=10))
    assert near.valid_mask(labels).tolist() == [[[False, False, True, False, False, False, False]]]
    free = Depth(name='depth', metric=dict(type='RegressionMetric'))
    assert free.valid_mask(labels).tolist() == [[[False, True, True, True, True, True, False]]]


def test_bad_depths_are_found():
    assert DEPTH.check_values(metres(0, 0.1, 500)) is None
    assert DEPTH.check_values(metres(1, -0.25)) == 'metres >= 0 expected (0 = no reading), found a minimum of -0.25'
    for value in (np.nan, np.inf, -np.inf):
        assert DEPTH.check_values(metres(1, value)) == 'finite numbers expected, found NaN or infinity'
    assert DEPTH.check_values(np.zeros((0, 4), np.float32)) is None


def test_predicted_depth_is_not_negative():
    assert DEPTH.decode(torch.tensor([[[-1.0, 2.0]]])).tolist() == [[[0, 2]]]


def test_the_constant_is_the_mean_of_readings():
    assert DEPTH.constant([torch.tensor([[[0.0, 2.0]]]), torch.tensor([[[0.0, 6.0, 1.0]]])]).tolist() == [[[3]]]


def test_the_unit_of_labels_stands_beside_values_and_errors():
    height = DenseRegression(name='height', unit='m')
    assert (height.values_unit, height.error_unit) == ('m', 'm')
    assert (DEPTH.values_unit, DEPTH.error_unit) == ('m', 'm')
    assert DenseRegression(name='x').values_unit == ''


def test_a_map_has_as_many_target_channels_as_outputs():
    task = DenseRegression(name='flow', out_channels=2)
    assert task.target_channels == 2
    assert task.empty_target(3, 4).shape == (3, 4, 2)
    assert DenseRegression(name='heat').empty_target(3, 4).shape == (3, 4)


def test_pictures_of_one_range_can_be_compared():
    value_range = DEPTH.value_range(metres(2, 2)[None], metres(8, 8)[None])
    left, right = (DEPTH.draw(metres(*values)[None], value_range) for values in ((2, 5, 0), (5, 8, 0)))
    assert left[0, 1].tolist() == right[0, 0].tolist() != left[0, 0].tolist()
    assert left[0, 2].tolist() == [0, 0, 0]


@pytest.mark.parametrize(('zoom', 'expected'), [('keep', [3, -1]), ('multiply', [6, -1]), ('divide', [1.5, -1])])
def test_what_an_enlargement_does_to_the_numbers(zoom, expected):
    task = DenseRegression(name='disparity', zoom=zoom, ignore_value=-1)
    assert task.rescale_values(np.array([3.0, -1.0]), 2).tolist() == expected
    assert task.rescale_values(torch.tensor([3.0, -1.0]), 2).tolist() == expected


def test_depth_is_one_number():
    with pytest.raises(ValueError, match=r"Task 'depth' is one distance per pixel, but got out_channels=2"):
        Depth(name='depth', out_channels=2)
