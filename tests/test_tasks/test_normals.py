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


def test_the_error_is_the_angle():
    pred = vectors((1, 0, 0), (0, 2, 0), (1, 1, 0), (0, 0, 1), (0, 0, 1), (1e-4, 1, 0)).transpose(2, 0, 1)
    gt = vectors((1, 0, 0), (0, -1, 0), (1, 0, 0), (0, 0, 0), (255, 255, 255), (0, 1, 0)).transpose(2, 0, 1)
    angles = np.array([[0, 180, 45, np.nan, np.nan, np.degrees(1e-4)]])
    np.testing.assert_allclose(TASK.error(pred, gt), angles, rtol=1e-4, atol=1e-9)


def test_the_legend_shows_the_axes():
    half, none = 128, 0
    assert TASK.legend() == [
        ('+x (right)', (255, half, half)),
        ('+y', (half, 255, half)),
        ('+z', (half, half, 255)),
        ('-x', (none, half, half)),
        ('-y', (half, none, half)),
    ]
    assert TASK.draw(vectors((np.nan, 0, 1), (2, -2, 0)).transpose(2, 0, 1)).tolist() == [[[0, 0, 0], [255, 0, 128]]]


def test_other_numbers_of_channels_are_named():
    for options in (dict(out_channels=2), dict(target_channels=1, pad_value=255)):
        with pytest.raises(ValueError, match="'n' predicts vectors x, y, z, but got out_channels="):
            SurfaceNormals(name='n', **options)


def test_lengths_at_the_limits_stay():
    task = SurfaceNormals(name='normals', length_range=(0.5, 2))
    marked = task.mask_values(vectors((0.5, 0, 0), (0, 2, 0), (0.49, 0, 0), (0, 0, 2.01)))
    assert marked[0, :, 0].tolist() == [0.5, 0, 255, 255]
    assert marked.dtype == np.float32
    assert SurfaceNormals(name='n', ignore_value=9).mask_values(vectors((0, 0, 0)))[0, 0].tolist() == [9, 9, 9]


def test_unit_vectors_again_after_an_interpolation():
    refined = TASK.refine_values(vectors((0, 3, 4), (0, 0, 0)))
    np.testing.assert_allclose(refined, vectors((0, 0.6, 0.8), (0, 0, 0)), rtol=1e-6)
    assert TASK.check_values(np.zeros((0, 3, 3), np.float32)) is None
    assert_close(TASK.constant([torch.zeros(3, 1, 0)]), torch.zeros(3, 1, 1))


@pytest.mark.parametrize(('length', 'sound'), [(0.31, True), (0.29, False), (1.39, True), (1.41, False)])
def test_most_vectors_have_about_unit_length(length, sound):
    """Of two lengths nearby, so that they are no mark."""
    label = vectors(*(np.full(3, scale / 3**0.5) for scale in (length, length * 1.004)), (0, 0, 0))
    assert (TASK.check_values(label) is None) == sound
