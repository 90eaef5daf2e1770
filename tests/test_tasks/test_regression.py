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


def test_the_range_of_a_picture_is_that_of_most_pixels():
    task = DenseRegression(name='x')
    values = np.arange(101.0)[None, None]
    assert task.value_range(values) == (1, 99)
    assert task.value_range(values[..., :51], values[..., 51:]) == (1, 99)
    assert task.value_range(np.full((1, 2, 2), 255.0)) == (0, 1)
    assert task.value_range(np.array([[[np.nan, np.inf, 255, 4]]])) == (4, 4)
    assert DEPTH.draw(metres(0, np.nan, 1)[None])[0, :2].tolist() == [[0] * 3] * 2


def test_black_is_explained_where_it_is_seen():
    assert DEPTH.legend(metres(1, 2)[None]) == []
    assert DEPTH.legend(metres(1, 2)[None], metres(0, 2)[None]) == [('no reading', (0, 0, 0))]


def test_files_hold_millimetres_as_far_as_they_go():
    for values, expected, dtype in (
        ((0.0015, 65.535, np.nan), [2, 65535, 0], np.uint16),
        ((1.0, 65.5351, np.inf), [1, np.float32(65.5351), np.inf], np.float32),
        ((-np.inf, np.inf, 1), [0, 0, 1000], np.uint16),
    ):
        array, suffix = DEPTH.to_file(np.array([[values]]))
        assert (array.dtype, suffix) == (dtype, '.png' if dtype == np.uint16 else '.npy')
        assert array.tolist() == [expected]


def test_metres_stay_where_the_camera_is_told():
    assert_array_equal(Depth(name='d', zoom_rule=False).rescale_values(metres(3), 2), metres(3))
    values = metres(3)
    assert DenseRegression(name='x', zoom='divide').rescale_values(values, 1) is values


def test_a_marker_below_zero_is_no_bad_depth():
    task = Depth(name='d', ignore_value=-1, pad_value=-1)
    assert task.check_values(metres(-1, 2)) is None
    assert task.check_values(metres(-1, -1)) is None
    assert task.check_values(metres(-1, -2)).endswith('a minimum of -2')


def test_an_infinite_depth_is_no_number():
    assert DEPTH.decode(torch.tensor([[[-torch.inf, torch.nan]]])).isnan().all()
