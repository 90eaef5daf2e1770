import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from torch.testing import assert_close

from mlore_mm.tasks import HumanParts, SemSeg


def ids(*values):
    return np.array([values], dtype=np.uint8)


def test_ids_beyond_the_classes_are_found():
    task = SemSeg(name='semseg', out_channels=5)
    assert task.check_values(ids(0, 4, 255)) is None
    assert task.check_values(ids(0, 5, 9, 9, 255)) == 'class ids 0 to 4 or 255 (ignore) expected, found [5 9]'


def test_the_prediction_is_the_likeliest_class():
    logits = torch.tensor([[[0.1, 5.0]], [[2.0, -1.0]], [[0.3, 4.9]]])
    assert SemSeg(name='semseg', out_channels=3).decode(logits).tolist() == [[[1, 0]]]


def test_scores_are_probabilities():
    scores = SemSeg(name='semseg', out_channels=3).activate(torch.randn(2, 3, 4, 5))
    assert_close(scores.sum(dim=1), torch.ones(2, 4, 5))


def test_the_constant_is_the_majority_class_of_labelled_pixels():
    labels = [torch.tensor([[[0, 2, 255, 255, 255]]]), torch.tensor([[[2, 1, 2, 255, 0]]])]
    assert SemSeg(name='semseg', out_channels=3).constant(labels).tolist() == [[[2]]]


def test_an_image_without_people_is_ignored_as_a_whole():
    task = HumanParts(name='human_parts')
    assert_array_equal(task.mask_values(ids(0, 0, 0)), ids(255, 255, 255))
    assert_array_equal(task.mask_values(ids(0, 255, 0)), ids(255, 255, 255))  # its padding does not count as a part
    assert_array_equal(task.mask_values(ids(0, 3, 255)), ids(0, 3, 255))


def test_colours_come_from_the_palette_or_from_pascal_voc():
    task = SemSeg(name='semseg', out_channels=2, palette=((9, 8, 7), (1, 2, 3)))
    assert task.draw(ids(1, 0, 255)[None]).tolist() == [[[1, 2, 3], [9, 8, 7], [0, 0, 0]]]
    assert SemSeg(name='semseg').draw(ids(15)[None]).tolist() == [[[192, 128, 128]]]  # a person


def test_ids_are_not_interpolated():
    with pytest.raises(ValueError, match="'semseg' holds class ids and has interpolation='bilinear'.*class 4"):
        SemSeg(name='semseg', out_channels=9, interpolation='bilinear')


def test_scores_that_are_no_numbers_have_no_class():
    scores = torch.tensor([[[0.1, torch.nan, 0.2]], [[0.9, 0.5, torch.inf]]])
    assert SemSeg(name='semseg', out_channels=2).finalize(scores).tolist() == [[[1, -1, -1]]]
