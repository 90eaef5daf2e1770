"""Matching and the counts of an image: reference numbers, an independent matching, degenerate images."""

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import maximum_bipartite_matching

from mlore_mm.evaluation.functional.boundary import (
    FAST_THRESHOLDS,
    FULL_THRESHOLDS,
    boundary_counts,
    edge_strength,
    matching_radius,
    maximum_matching,
    thin,
)
from mlore_mm.evaluation.functional.boundary.counts import _falling_thresholds
from mlore_mm.evaluation.functional.boundary.matching import disk
from tests.test_evaluation.boundary_reference import over_references


def independent_matching(first, second, radius):
    """Maximum matching by SciPy, with the graph written out."""
    one, other = np.argwhere(first), np.argwhere(second)
    near = ((one[:, None] - other[None]) ** 2).sum(axis=-1) <= radius**2
    return int((maximum_bipartite_matching(csr_matrix(near)) >= 0).sum()) if near.size else 0


@over_references
@pytest.mark.parametrize('max_dist', ['0.0075', '0.011'])
def test_reference_counts(load, name, max_dist):
    reference = load(name)
    expected = reference.expected['counts'][max_dist]
    counts = boundary_counts(reference.prediction, reference.ground_truth, float(max_dist))
    for row, key in enumerate(('max_matching', 'sumR', 'max_matching', 'sumP')):
        np.testing.assert_array_equal(counts[row], np.broadcast_to(expected[key], 101), err_msg=key)
    # The randomised matching of the original never finds more, and misses few.
    missed = counts[0] - np.array(expected['cntR'])
    assert (missed >= 0).all()
    assert (missed <= np.maximum(8, 0.008 * counts[0])).all()


@pytest.mark.parametrize('seed', range(30))
def test_matching_is_maximum(seed):
    rng = np.random.default_rng(seed)
    shape = rng.integers(1, 50, size=2)
    first, second = rng.random(shape) < rng.random() * 0.2, rng.random(shape) < rng.random() * 0.2
    radius = rng.random() * (40 if seed % 5 == 0 else 6)  # also radii beyond a word of 32 pixels
    expected = independent_matching(first, second, radius)
    assert maximum_matching(first, second, radius) == expected
    assert maximum_matching(second, first, radius) == expected


def test_pairs_exist_up_to_the_radius_and_only_once():
    first, second = np.zeros((2, 10, 10), dtype=bool)
    first[2, 2] = second[5, 6] = True  # a distance of exactly 5
    assert maximum_matching(first, second, 5.0) == 1
    assert maximum_matching(first, second, 4.999) == 0
    second[5, 5:8] = True
    assert maximum_matching(first, second, 9.0) == 1


def test_matching_moves_pairs_along_a_line():
    first, second = np.zeros((2, 3, 300), dtype=bool)
    first[1, :-1] = second[1, 1:] = True  # only shifting every pair by one matches both ends
    assert maximum_matching(first, second, 1.0) == 299


def test_radius_is_a_share_of_the_diagonal():
    assert matching_radius((300, 400), 0.0075) == pytest.approx(3.75)


def test_every_threshold_counts_as_if_it_were_alone():
    rng = np.random.default_rng(0)
    prediction = rng.integers(0, 256, size=(50, 70), dtype=np.uint8)
    truth = thin(rng.random((50, 70)) < 0.1)
    together = boundary_counts(prediction, truth, 0.02)
    strength = edge_strength(prediction).astype(np.float64)
    for index in (0, 7, 50, 90):
        lines = thin(strength > FULL_THRESHOLDS[index])
        matched = independent_matching(lines, truth, matching_radius(truth.shape, 0.02))
        assert together[:, index].tolist() == [matched, truth.sum(), matched, lines.sum()]
        alone = boundary_counts(prediction, truth, 0.02, thresholds=[FULL_THRESHOLDS[index]])
        assert alone[:, 0].tolist() == together[:, index].tolist()


def test_fast_thresholds_are_a_part_of_the_full_ones():
    assert len(FULL_THRESHOLDS) == 101
    assert set(FAST_THRESHOLDS) < set(FULL_THRESHOLDS)


def test_nothing_predicted_and_no_boundary():
    truth = thin(np.eye(30, dtype=bool))
    nothing = boundary_counts(np.zeros((30, 30), dtype=np.uint8), truth, 0.01)
    assert (nothing == np.array([[0], [truth.sum()], [0], [0]])).all()
    prediction = np.zeros((30, 30), dtype=np.uint8)
    prediction[:, 15] = 255
    false_alarms = boundary_counts(prediction, np.zeros((30, 30), dtype=bool), 0.01)
    assert (false_alarms[:3] == 0).all()
    assert (false_alarms[3] > 0).all()


@pytest.mark.parametrize('shape', [(1, 1), (1, 40), (40, 1), (2, 2), (3, 50), (9, 9), (10, 9)])
@pytest.mark.parametrize('fill', ['noise', 'full'])
def test_images_of_any_size(shape, fill):
    rng = np.random.default_rng(0)
    prediction = np.full(shape, 255, dtype=np.uint8) if fill == 'full' else rng.integers(0, 256, shape, dtype=np.uint8)
    truth = thin(rng.random(shape) < 0.4)
    matched, true, matched_again, predicted = boundary_counts(prediction, truth, 0.05)
    assert (true == truth.sum()).all()
    assert (matched == matched_again).all()
    strength = edge_strength(prediction).astype(np.float64)
    for index in (0, 40):
        lines = thin(strength > FULL_THRESHOLDS[index])
        assert predicted[index] == lines.sum()
        assert matched[index] == independent_matching(lines, truth, matching_radius(shape, 0.05))


def test_line_of_pixels_is_matched():
    """In an image one pixel high nothing is mirrored away: each isolated maximum is a predicted pixel."""
    prediction = np.zeros((1, 40), dtype=np.uint8)
    prediction[0, [10, 30]] = 200
    truth = np.zeros((1, 40), dtype=bool)
    truth[0, [10, 20]] = True
    counts = boundary_counts(prediction, truth, 0.02)
    assert counts[:, 50].tolist() == [1, 2, 1, 2]


def test_sizes_and_thresholds_are_checked():
    prediction, truth = np.zeros((4, 5), dtype=np.uint8), np.zeros((5, 4), dtype=bool)
    with pytest.raises(ValueError, match=r'prediction is \(4, 5\) and its ground truth \(5, 4\)'):
        boundary_counts(prediction, truth, 0.01)
    for thresholds in ([0.5, 0.2], [], [-0.1, 0.5]):
        with pytest.raises(ValueError, match='ascending numbers from 0 up'):
            boundary_counts(prediction, truth.T, 0.01, thresholds)


def test_rows_of_a_disk_by_hand():
    assert disk(1.0).tolist() == [[0, 1], [-1, 0], [1, 0]]
    assert disk(5.0)[[0, 1, 6, 10]].tolist() == [[0, 5], [-1, 4], [3, 4], [5, 0]]
    assert disk(0.9).tolist() == [[0, 0]]


def test_a_strength_at_the_threshold_is_not_above_it():
    strength = np.float32([0, 0.5, 0.75, 0.25])
    pixels, ends = _falling_thresholds(strength, np.array([0.25, 0.5, 0.6]))
    assert (pixels.tolist(), ends.tolist()) == ([2, 1, 3], [2, 1, 1])


def test_published_thresholds():
    assert FULL_THRESHOLDS[:3] + FULL_THRESHOLDS[-2:] == (0.001, 0.01, 0.02, 0.99, 0.999)
    assert (len(FAST_THRESHOLDS), FAST_THRESHOLDS[0], FAST_THRESHOLDS[-1]) == (19, 0.05, 0.95)
    prediction, truth = np.zeros((4, 5), dtype=np.uint8), np.zeros((4, 5), dtype=bool)
    for wrong in ([0.5, 0.5], [[0.1, 0.2]]):
        with pytest.raises(ValueError, match='ascending numbers from 0 up'):
            boundary_counts(prediction, truth, 0.01, wrong)
    assert boundary_counts(prediction, truth, 0.01, [0.0]).tolist() == [[0]] * 4
    with pytest.raises(ValueError, match=r'of one size, but got \(4, 5\) and \(5, 4\)'):
        maximum_matching(truth, truth.T, 1)
