import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from torch.testing import assert_close

from mlore_mm.tasks import SurfaceNormals

TASK = SurfaceNormals(name='normals')


def vectors(*values):
    return np.array([values], dtype=np.float32)


def test_x_changes_sign_and_ignored_pixels_stay():
    label = vectors((0.6, 0, 0.8), (255, 255, 255), (0, 1, 0))
    assert_array_equal(TASK.hflip_values(label), vectors((-0.6, 0, 0.8), (255, 255, 255), (0, 1, 0)))


def test_zero_vectors_are_marked_and_others_stay_bit_for_bit():
    tiny = np.float32(1e-30)
    label = vectors((0, 0, 0), (-0.0, 0, 0), (0, 0, tiny), (0.1, -0.7, 0.3), (255, 255, 255))
    before = label.copy()
    marked = TASK.mask_values(label)
    assert marked.dtype == np.float32
    assert_array_equal(marked[0, :2], 255)
    assert_array_equal(marked[0, 2:], before[0, 2:])
    assert_array_equal(label, before)


def test_one_ignored_channel_ignores_the_pixel():
    valid = TASK.valid_mask(torch.tensor([[[0.0, 255.0]], [[0.0, 0.0]], [[1.0, 1.0]]]))
    assert valid.tolist() == [[[True, False]]]


@pytest.mark.parametrize(
    ('value', 'problem'),
    [
        (np.nan, 'finite vectors expected'),
        (-np.inf, 'finite vectors expected'),
        (1.5, r'components in -1..1 expected, found \[1.5\]'),
        (-255, r'components in -1..1 expected, found \[-255.\]'),
    ],
)
def test_bad_components_are_found(value, problem):
    assert TASK.check_values(vectors((0, 0, 1), (255, 255, 255))) is None
    with pytest.raises(ValueError, match=problem):
        raise ValueError(TASK.check_values(vectors((0, 0, 1), (value, 0, 0), (255, 255, 255))))


def test_predictions_have_unit_length():
    assert_close(TASK.decode(torch.randn(2, 3, 4, 5)).norm(dim=1), torch.ones(2, 4, 5))


def test_the_constant_is_the_direction_of_the_mean():
    labels = [torch.tensor([[[1.0, 0.0, 255.0]], [[0.0, 1.0, 255.0]], [[0.0, 0.0, 255.0]]])]
    assert_close(TASK.constant(labels).flatten(), torch.tensor([0.5**0.5, 0.5**0.5, 0]))


def test_the_picture_points_right_in_red_and_has_black_holes():
    values = vectors((1, 0, 0), (0, 0, 0), (255, 255, 255)).transpose(2, 0, 1)
    assert TASK.draw(values).tolist() == [[[255, 128, 128], [0, 0, 0], [0, 0, 0]]]
