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


def test_vectors_far_from_unit_length_may_be_left_out():
    task = SurfaceNormals(name='normals', length_range=(0.5, 1.2))
    label = vectors((0, 0, 1), (0, 0, 0.4), (1, 1, 0), (0, 0, 0), (255, 255, 255), (0.6, 0, 0.8))
    valid = task.valid_mask(torch.from_numpy(task.mask_values(label).transpose(2, 0, 1)))
    assert valid[0].tolist() == [[True, False, False, False, False, True]]
    assert np.isnan(task.error(np.ones((3, 1, 6)), label.transpose(2, 0, 1)))[0].tolist() == [False] + [True] * 4 + [
        False
    ]


def test_maps_that_are_coded_otherwise_are_found():
    unit = np.random.default_rng(0).normal(size=(20, 20, 3)).astype(np.float32)
    unit /= np.linalg.norm(unit, axis=-1, keepdims=True)
    unit[..., 2] = np.abs(unit[..., 2])
    assert TASK.check_values(unit) is None
    assert TASK.check_values((unit + 1) / 2) is None  # lengths around 1.2: check_dataset.py finds it
    lengths = np.random.default_rng(1).uniform(0.05, 0.2, (20, 20, 1)).astype(np.float32)
    assert 'far from it (median length 0.1' in TASK.check_values(unit * lengths)
    assert 'scale=2, offset=-1' in TASK.check_values(unit * lengths)
    mark = np.where(np.arange(20)[:, None, None] < 12, np.float32(-1), unit)
    assert TASK.check_values(mark) is None  # one vector for all that have no label: check_dataset.py names it


def test_mirroring_leaves_its_input():
    label = np.random.default_rng(0).normal(size=(3, 4, 3)).astype(np.float32)
    before = label.copy()
    mirrored = TASK.hflip_values(label)
    assert_array_equal(label, before)
    assert_array_equal(mirrored, before * [-1, 1, 1])
