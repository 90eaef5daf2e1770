"""Sums, counts and scores that the metrics are made of, worked by hand."""

import math

import pytest
import torch

from mlore_mm.evaluation.functional import (
    angle_histogram,
    angular_error,
    class_counts,
    delta_m,
    depth_errors,
    depth_sums,
    f_measure,
    histogram_median,
    image_scores,
    relative_gain,
    threshold_counts,
)


def test_edges_of_the_counts_by_hand():
    """Half a turn falls into the last bin; a score at the threshold passes; the first id beyond the classes is none."""
    yes = torch.tensor([True, True])
    assert angle_histogram(torch.tensor([180.0, 0.0]), yes).sum() == 2
    passed = threshold_counts(torch.tensor([0.5]), torch.tensor([1]), yes[:1], torch.tensor([0.25, 0.5, 0.75]))
    assert passed.tolist() == [[1, 1, 0]] * 2
    with pytest.raises(ValueError, match='A prediction holds'):
        class_counts(torch.tensor([0, 4]), torch.tensor([0, 0]), yes, 4)


def test_scores_of_one_image_where_nothing_is_found():
    found = image_scores(torch.tensor([[2, 0], [4, 0]]), torch.tensor(3))
    assert {name: x.tolist() for name, x in found.items()} == dict(iou=[0.4, 0], precision=[0.5, 0], recall=[2 / 3, 0])
    none = image_scores(torch.tensor([[0, 0], [4, 0]]), torch.tensor(0))
    assert {name: x.tolist() for name, x in none.items()} == dict(iou=[0, 1], precision=[0, 0], recall=[0, 0])


def test_nothing_found_is_zero_and_not_nan():
    zero = torch.zeros(2, dtype=torch.int64)
    assert f_measure(zero, zero, torch.tensor(0)).tolist() == [0, 0]


def test_angles_to_labels_of_any_length():
    along, between = torch.tensor([1.0, 0, 0]).view(3, 1, 1), torch.tensor([2.0, 2.0, 0]).view(3, 1, 1)
    assert angular_error(along, between).item() == pytest.approx(45)


def test_the_median_inside_its_bin():
    histogram = torch.zeros(3600, dtype=torch.int32)
    histogram[[10, 20]] = torch.tensor([1, 3], dtype=torch.int32)  # 2 of 4: a third of the second bin
    assert histogram_median(histogram) == pytest.approx(0.05 * (20 + 1 / 3))
    assert math.isnan(histogram_median(torch.zeros(3600)))
    angles, valid = torch.tensor([0.0499, 0.0501, 180, 9]), torch.tensor([True, True, True, False])
    assert angle_histogram(angles, valid).nonzero().flatten().tolist() == [0, 1, 3599]
    assert angle_histogram(angles[:1], valid[:1]).shape == (3600,)  # histograms of images are added


def test_depth_without_light():
    """A prediction of 0 has the published floor as its logarithm, and no ratio below any limit."""
    one = torch.ones(1)
    sums = depth_sums(torch.tensor([0.0, 5.0]), torch.tensor([1.0, 0.0]), torch.tensor([True, False]))
    assert {name: x.item() for name, x in sums.items()} == pytest.approx(
        dict(RMSE=1, logRMSE=math.log(1e9) ** 2, absRel=1, sqRel=1, delta1=0, delta2=0, delta3=0)
    )
    errors = depth_errors(dict.fromkeys(sums, one * 4), one * 2)
    assert errors == pytest.approx(
        dict.fromkeys(sums, 2) | dict(RMSE=2**0.5, logRMSE=2**0.5, delta1=200, delta2=200, delta3=200)
    )
    near = depth_sums(torch.tensor([1.25, 1.2499, 0.8001]), torch.ones(3), torch.ones(3, dtype=torch.bool))
    assert (near['delta1'], near['delta2']) == (2, 3)


def test_a_gain_needs_a_baseline():
    with pytest.raises(ValueError, match='a baseline is 0'):
        relative_gain(1.0, 0.0, True)


def test_a_better_number_is_a_gain_in_percent():
    assert relative_gain(3.0, 2.0, True) == 50
    assert relative_gain(3.0, 2.0, False) == -50
    assert delta_m(dict(a=10.0, b=-4.0)) == 3
    assert f_measure(torch.tensor(2), torch.tensor(4), torch.tensor(3)).item() == pytest.approx(1.3 * 2 / (0.9 + 4))
