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


def test_many_classes_need_two_bytes_and_255_is_one_of_them():
    few, many = SemSeg(name='x', out_channels=255), SemSeg(name='x', out_channels=256, dtype='uint16', ignore_value=999)
    assert few.markers == (255, 255)
    assert many.markers == (999,)
    assert many.check_values(np.array([[0, 255, 999]], np.uint16)) is None
    assert many.valid_mask(torch.tensor([[[0, 255, 999]]])).tolist() == [[[True, True, False]]]
    assert many.to_file(ids(255)[None])[0].dtype == np.uint8
    wide = SemSeg(name='x', out_channels=257, dtype='uint16', ignore_value=999)
    assert wide.to_file(np.array([[[256]]]))[0].tolist() == [[256]]
    assert few.to_file(ids(3)[None])[1] == '.png'


def test_errors_are_yes_or_no_and_unknown_where_nothing_is_labelled():
    task = SemSeg(name='x', out_channels=4, ignore_value=0)
    assert_array_equal(task.error(ids(1, 2, 1, 1)[None], ids(1, 1, 0, 255)[None]), [[0, 1, np.nan, np.nan]])
    finite = task.finite_mask(torch.tensor([[[0, 3, -1]]]))
    assert finite.tolist() == [[[True, True, False]]]


def test_the_legend_has_the_classes_that_are_there():
    task = SemSeg(name='x', out_channels=3, classes=('a', 'b', 'c'), palette=((9, 8, 7), (1, 2, 3), (4, 5, 6)))
    assert task.legend(ids(2, 255)[None], ids(0)[None]) == [('a', (9, 8, 7)), ('c', (4, 5, 6))]
    assert SemSeg(name='x', out_channels=2).legend(np.array([[[1, -1, 2]]])) == [('1', (128, 0, 0))]
    assert task.result(ids(2)[None]).names == ('a', 'b', 'c')
    assert SemSeg(name='x', out_channels=2).result(ids(1)[None]).names == ('0', '1')


@pytest.mark.parametrize('rgb', [(0, 0), (0, 0, 256), (-1, 0, 0)])
def test_colours_are_three_bytes(rgb):
    with pytest.raises(ValueError, match="`palette` of task 'x' holds colours"):
        SemSeg(name='x', out_channels=1, palette=(rgb,))
    assert SemSeg(name='x', out_channels=1, palette=((0, 255, 0),)).colours().tolist() == [[0, 255, 0]]


def test_labels_of_people_without_background_may_be_left_out():
    task = HumanParts(name='x', ignore_value=0)
    assert_array_equal(task.mask_values(ids(0, 255, 0)), ids(0, 0, 0))
    assert_array_equal(task.mask_values(ids(0, 1, 0)), ids(0, 1, 0))
