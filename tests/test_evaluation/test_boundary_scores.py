"""Scores from counts: reference numbers, numbers by hand, special cases."""

import numpy as np
import pytest

from mlore_mm.evaluation.functional.boundary import average_precision, boundary_scores, f_measure, precision_recall
from tests.shared import shared_path
from tests.test_evaluation.boundary_reference import COMPACT, read_expected


def counts_of(images, kind):
    """(N, 4, T) from the counts in a reference file, of the original's matching or of the exact one."""
    rows = ('cntR', 'sumR', 'cntP', 'sumP') if kind == 'csa' else ('max_matching', 'sumR', 'max_matching', 'sumP')
    return np.array([[np.broadcast_to(image[row], 101) for row in rows] for image in images])


def assert_scores(counts, thresholds, expected):
    scores = boundary_scores(counts, thresholds)
    for key, value in expected.items():
        assert getattr(scores, key) == pytest.approx(value, abs=1e-6), key


@pytest.mark.parametrize('kind', ['csa', 'max_matching'])
def test_compact_reference_scores(kind):
    expected = read_expected(COMPACT)
    group = expected['scores']
    assert_scores(counts_of(group['images'].values(), kind), expected['thresholds'], group[kind])


@pytest.mark.parametrize('kind', ['csa', 'max_matching'])
@pytest.mark.parametrize('max_dist', ['0.0075', '0.011'])
@pytest.mark.parametrize('group', ['pascal', 'nyud', 'all'])
def test_full_reference_scores(group, max_dist, kind):
    expected = read_expected(shared_path('golden/boundary'))
    results = expected['results'][group]
    images = [expected['images'][name]['counts'][max_dist] for name in results['images']]
    assert_scores(counts_of(images, kind), expected['thresholds'], results[max_dist][kind])


def test_two_images_by_hand():
    # Threshold 0 suits the first image, threshold 1 the second.
    first = [[8, 2], [10, 10], [8, 2], [10, 2]]  # P 0.8, 1; R 0.8, 0.2; F 0.8, 1/3
    second = [[5, 4], [5, 5], [5, 4], [20, 4]]  # P 0.25, 1; R 1, 0.8; F 0.4, 8/9
    scores = boundary_scores(np.array([first, second]), [0.25, 0.75])
    # Together: P 13/30, R 13/15 and P 6/6, R 6/15.
    assert scores.f == pytest.approx([2 * 13 / 45, 2 * 6 / 21])
    assert (scores.ods_f, scores.ods_threshold) == (pytest.approx(26 / 45), 0.25)
    # Each at its best: 12 of 15 true, 12 of 14 predicted.
    assert scores.ois_f == pytest.approx(2 * 12 / (15 + 14))
    # Precision falls linearly from 1 at R = 0.4 to 13/30 at R = 13/15: grid points 0.40 to 0.86.
    grid = np.arange(40, 87) / 100
    assert scores.ap == pytest.approx((1 + (13 / 30 - 1) * (grid - 0.4) / (13 / 15 - 0.4)).sum() / 100)


def test_special_cases_of_precision_and_recall():
    assert precision_recall(np.array([0, 9, 0, 0])) == (1, 0)  # nothing predicted
    assert precision_recall(np.array([0, 0, 0, 9])) == (0, 1)  # no boundary
    assert precision_recall(np.array([0, 0, 0, 0])) == (1, 0)  # neither
    assert precision_recall(np.array([0, 9, 0, 9])) == (0, 0)  # no match


def test_image_without_boundary_counts_its_false_alarms_at_the_lowest_threshold():
    good, empty = [[5, 5], [5, 5], [5, 5], [5, 5]], [[0, 0], [0, 0], [0, 0], [40, 1]]
    scores = boundary_scores(np.array([good, empty]), [0.1, 0.9])
    assert scores.ois_f == pytest.approx(2 * 5 / (5 + 45))
    assert scores.ods_f == pytest.approx(2 * 5 / (5 + 6))


def test_lowest_threshold_wins_ties():
    counts = np.array([[[3, 3, 1], [4, 4, 4], [3, 3, 1], [4, 4, 4]]])
    assert boundary_scores(counts, [0.1, 0.5, 0.9]).ods_threshold == 0.1


def test_average_precision_takes_the_lowest_threshold_of_equal_recalls():
    recall, precision = np.array([1.0, 0.5, 0.5, 0.0]), np.array([0.2, 0.6, 0.9, 1.0])
    grid = np.arange(101) / 100
    expected = np.interp(grid, [0, 0.5, 1], [1, 0.6, 0.2]).sum() / 100
    assert average_precision(precision, recall) == pytest.approx(expected)
    assert average_precision(np.ones(5), np.zeros(5)) == 0  # nothing predicted at any threshold


def test_an_image_without_labels_changes_nothing():
    counts = np.random.default_rng(0).integers(1, 50, size=(3, 4, 5))
    thresholds = np.arange(1, 6) / 6
    with_empty = np.concatenate([counts, np.zeros((1, 4, 5), dtype=int)])
    one, other = boundary_scores(counts, thresholds), boundary_scores(with_empty, thresholds)
    assert (one.ods_f, one.ois_f, one.ap) == (other.ods_f, other.ois_f, other.ap)


def test_shape_is_checked():
    with pytest.raises(ValueError, match=r'\(images, 4, 3\) with at least one image and one threshold'):
        boundary_scores(np.zeros((0, 4, 3)), [0.1, 0.2, 0.3])


def test_every_number_of_a_score_by_hand():
    first = [[8, 2], [10, 10], [8, 2], [10, 2]]
    second = [[5, 4], [5, 5], [5, 4], [20, 4]]
    scores = boundary_scores(np.array([first, second]), [0.25, 0.75])
    assert (scores.ods_precision, scores.ods_recall) == pytest.approx((13 / 30, 13 / 15))
    assert (scores.ois_precision, scores.ois_recall) == pytest.approx((12 / 14, 12 / 15))
    assert (scores.precision.tolist(), scores.recall.tolist()) == ([13 / 30, 1], [13 / 15, 6 / 15])
    assert scores.thresholds.tolist() == [0.25, 0.75]
    assert f_measure(np.array([0, 0.5]), np.array([0, 1.0])).tolist() == [0, 2 / 3]


def test_images_choose_the_lower_of_thresholds_that_differ_in_the_seventh_digit():
    """F is rounded to 6 decimals first: 2 m / (n + k) of large counts that nearly agree."""
    near = np.array([[[10**8, 10**8 + 1], [2 * 10**8] * 2, [10**8, 10**8 + 1], [2 * 10**8] * 2]])
    scores = boundary_scores(near, [0.1, 0.9])
    assert scores.ois_recall == 0.5
    assert scores.ods_threshold == 0.9
    assert average_precision(np.array([0.5, 1.0]), np.array([0.0, 1.0])) == pytest.approx(0.7575)  # 75.75 of 101 points
