"""Smoothing, suppression, thinning and the true boundary: reference numbers, numbers by hand, any size."""

from zlib import crc32

import cv2
import numpy as np
import pytest

from mlore_mm.evaluation.functional.boundary import (
    boundary_counts,
    boundary_ground_truth,
    boundary_map,
    count_image,
    edge_strength,
    fade_border,
    orientation,
    read_labels,
    smooth,
    suppress_non_maxima,
    thin,
)
from mlore_mm.evaluation.functional.boundary.compiled import compiled
from mlore_mm.evaluation.functional.boundary.files import read_prediction
from tests.test_datasets.archives import write_image, write_mat
from tests.test_evaluation.boundary_reference import over_references

TRIANGLE = np.array([1, 2, 3, 4, 5, 4, 3, 2, 1]) / 25


@over_references
def test_reference_suppression(load, name):
    reference = load(name)
    expected, prediction = reference.expected['nms'], reference.prediction
    assert crc32(prediction.tobytes()) == reference.expected['prediction_crc32']
    strength = edge_strength(prediction)
    for y, x, value in expected['pixels']:
        assert strength[y, x] == pytest.approx(value, abs=1e-6)
    assert np.count_nonzero(strength) == expected['nonzero']  # the same pixels, also where rounding decides
    assert strength.sum(dtype=np.float64) == pytest.approx(expected['sum'], abs=1e-3)
    assert strength.max() == pytest.approx(expected['max'], abs=1e-6)


@over_references
def test_reference_ground_truth(load, name):
    reference = load(name)
    expected = reference.expected['gt_boundary']
    assert boundary_map(reference.labels).sum() == expected['pixels_before_thinning']
    assert reference.ground_truth.sum() == expected['pixels']
    assert crc32(np.packbits(reference.ground_truth).tobytes()) == expected['crc32']


@pytest.mark.parametrize('shape', [(1, 1), (1, 30), (2, 3), (9, 40), (10, 10), (12, 25), (40, 11)])
def test_smoothing_mirrors_with_the_edge_pixel_repeated(shape):
    image = np.random.default_rng(0).random(shape, dtype=np.float32)
    padded = np.pad(image.astype(np.float64), 4, mode='symmetric')
    rows = np.apply_along_axis(np.convolve, 1, padded, TRIANGLE, mode='valid')
    expected = np.apply_along_axis(np.convolve, 0, rows, TRIANGLE, mode='valid')
    np.testing.assert_allclose(smooth(image), expected, atol=1e-6)


def test_orientation_points_across_the_line():
    rising, falling = np.zeros((2, 40, 40), dtype=np.float32)
    index = np.arange(5, 35)
    rising[39 - index, index] = 1  # y grows downwards
    falling[index, index] = 1
    vertical, horizontal = np.zeros((2, 40, 40), dtype=np.float32)
    vertical[:, 20] = horizontal[20] = 1
    at = (20, 20)
    assert orientation(smooth(vertical))[at] == pytest.approx(0, abs=1e-5)
    assert orientation(smooth(falling))[at] == pytest.approx(3 * np.pi / 4, abs=0.05)
    assert orientation(smooth(rising))[19, 20] == pytest.approx(np.pi / 4, abs=0.05)
    # A perfectly horizontal line has no mixed derivative, whose sign (0) then turns the angle to 0, as in the original.
    assert orientation(smooth(horizontal))[at] == 0


def test_suppression_keeps_the_ridge_and_what_is_at_most_one_percent_weaker():
    profile = np.array([0, 0.2, 0.5, 1.0, 0.995, 0.5, 0.2, 0], dtype=np.float32)
    strength = np.tile(profile, (6, 1))
    kept = suppress_non_maxima(strength, np.zeros_like(strength))  # across the line is along x
    np.testing.assert_array_equal(kept, np.tile([0, 0, 0, 1.0, profile[4], 0, 0, 0], (6, 1)).astype(np.float32))
    exact = np.tile(np.array([0, 0.5, np.float32(0.5) * np.float32(1.01), 0.5, 0], np.float32), (6, 1))
    np.testing.assert_array_equal(suppress_non_maxima(exact, np.zeros_like(exact)), exact)  # one percent, no less


def test_border_fades():
    faded = fade_border(np.ones((20, 12), dtype=np.float32))
    weights = np.array([0, 0.2, 0.4, 0.6, 0.8, 1])
    np.testing.assert_allclose(faded[10], [*weights, *weights[::-1]], atol=1e-6)
    np.testing.assert_allclose(faded[:6, 2], 0.4 * weights, atol=1e-6)
    tiny = fade_border(np.ones((4, 7), dtype=np.float32))  # two pixels of border at most
    np.testing.assert_allclose(tiny[1], [0, 0.25, 0.5, 0.5, 0.5, 0.25, 0], atol=1e-6)


def test_line_of_pixels_has_no_border_to_fade():
    assert (fade_border(np.ones((1, 30), dtype=np.float32)) == 1).all()


def test_strength_needs_8_bits():
    with pytest.raises(ValueError, match=r'\(H, W\) uint8 array, but got shape \(3, 3\) and type float32'):
        edge_strength(np.zeros((3, 3), dtype=np.float32))


@pytest.mark.parametrize('seed', range(20))
def test_thinning_equals_scikit_image(seed):
    morphology = pytest.importorskip('skimage.morphology')
    rng = np.random.default_rng(seed)
    shape = rng.integers(1, 60, size=2)
    mask = rng.random(shape) < 0.3 + 0.035 * seed
    if seed % 2:  # blobs, not noise
        mask = smooth(mask.astype(np.float32)) > 0.5
    np.testing.assert_array_equal(thin(mask), morphology.thin(mask))


def test_thinning_a_bar_gives_its_axis():
    mask = np.zeros((9, 15), dtype=bool)
    mask[3:6, 2:13] = True
    thinned = thin(mask)
    assert thinned.sum() == thinned[4].sum() > 7
    np.testing.assert_array_equal(thin(thinned), thinned)


def test_boundary_map_by_hand():
    labels = np.array([[1, 1, 2], [1, 1, 2], [3, 1, 1]])
    # Right, below and below-right differ; in the last row only right, in the last column only below.
    expected = [[0, 1, 0], [1, 1, 1], [1, 0, 0]]
    np.testing.assert_array_equal(boundary_map(labels), np.array(expected, dtype=bool))


def test_line_of_an_edge_image_stays_one_line_and_a_thick_one_becomes_two():
    for width, lines in ((1, 1), (4, 2)):
        edges = np.zeros((20, 20), dtype=np.uint8)
        edges[:, 8 : 8 + width] = 255
        assert thin(boundary_map(edges))[10].sum() == lines


@pytest.mark.parametrize(
    ('pixels', 'found'),
    [
        (np.zeros((4, 5), np.uint16), r'uint16 of shape \(4, 5\)'),
        (np.zeros((4, 5, 3), np.uint8), r'uint8 of shape \(4, 5, 3\)'),
    ],
)
def test_a_prediction_of_another_kind_is_named(tmp_path, pixels, found):
    cv2.imwrite(str(tmp_path / 'a.png'), pixels)
    with pytest.raises(ValueError, match=f'a.png: a boundary prediction must be .* but this one is {found}'):
        read_prediction(tmp_path / 'a.png')


def test_labels_come_from_their_file_and_errors_name_it(tmp_path):
    ids = np.repeat([[1, 2]], 12, axis=0).repeat(6, axis=1)
    write_image(tmp_path / 'a.png', ids.astype(np.uint8))
    write_mat(tmp_path / 'a.mat', LabelMap=ids.astype(np.uint16))
    prediction = np.zeros((12, 12), np.uint8)
    prediction[:, 5] = 255
    wanted = boundary_counts(prediction, boundary_ground_truth(ids), 0.1, (0.5,))
    assert wanted[:, 0].min() > 0
    for labels in (ids, tmp_path / 'a.png', str(tmp_path / 'a.mat')):
        np.testing.assert_array_equal(count_image(prediction, labels, 0.1, (0.5,)), wanted)
    with pytest.raises(ValueError, match=r'a.mat: the boundary labels are \(12, 12\) and the prediction \(6, 12\)'):
        count_image(prediction[:6], str(tmp_path / 'a.mat'), 0.1, (0.5,))
    with pytest.raises(ValueError, match=r'^the boundary labels are'):
        count_image(prediction[:6], ids, 0.1, (0.5,))
    write_image(tmp_path / 'b.png', np.zeros((4, 5, 3), np.uint8))
    with pytest.raises(ValueError, match=r'b.png: one value per pixel expected, but the array has shape \(4, 5, 3\)'):
        read_labels(tmp_path / 'b.png')
    with pytest.raises(ValueError, match=r'must be \(H, W\), but got shape \(4, 5, 3\)'):
        boundary_map(np.zeros((4, 5, 3)))


def test_loops_let_other_threads_run_and_a_division_by_zero_is_infinite():
    options = compiled(lambda x: 1 / x).targetoptions
    assert (options['nogil'], options['error_model']) == (True, 'numpy')
    assert compiled(lambda x: 1.0 / x)(0.0) == np.inf


def test_a_pixel_alone_and_one_at_the_border_stay():
    """One pixel in every corner: the point across the edge is moved to the border, and pixels are no shape to thin."""
    strength = np.zeros((6, 9), np.float32)
    strength[[0, 0, -1, -1], [0, -1, 0, -1]] = 0.5
    np.testing.assert_array_equal(suppress_non_maxima(strength, np.full_like(strength, 0.3)), strength)
    np.testing.assert_array_equal(thin(strength), strength > 0)
    assert thin(np.ones((2, 2))).sum() == 1
    with pytest.raises(ValueError, match='non-empty'):
        edge_strength(np.zeros((0, 3), np.uint8))


def test_suppression_looks_across_the_edge_only():
    """A slope of 45 degrees in a ramp: two points a pixel away along it, by bilinear interpolation."""
    y, x = np.mgrid[:7, :7].astype(np.float32)
    ridge = np.maximum(0, 1 - 0.2 * np.abs(x - y)).astype(np.float32)  # along the falling diagonal
    across, along = (np.full_like(ridge, angle) for angle in (-np.pi / 4, np.pi / 4))
    kept = suppress_non_maxima(ridge, across)
    np.testing.assert_array_equal(kept[2:5, 2:5] > 0, np.eye(3, dtype=bool))
    assert (suppress_non_maxima(ridge, along)[2:5, 2:5] > 0).all()
