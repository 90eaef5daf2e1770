import numpy as np
from numpy.testing import assert_array_equal

from mlore_mm.tasks.drawing import draw_ids, draw_scalar, probability_to_bytes, voc_palette


def test_the_palette_is_that_of_pascal_voc():
    palette = voc_palette(256)
    assert_array_equal(palette[[0, 1, 2, 15, 20]], [[0, 0, 0], [128, 0, 0], [0, 128, 0], [192, 128, 128], [0, 64, 128]])
    assert_array_equal(palette[255], [224, 224, 192])
    assert len(np.unique(palette, axis=0)) == 256


def test_ids_outside_the_palette_are_black():
    assert draw_ids(np.array([[0, 1, 2, -1, 255]]), np.array([[9, 9, 9], [5, 6, 7]])).tolist() == [
        [[9, 9, 9], [5, 6, 7], [0, 0, 0], [0, 0, 0], [0, 0, 0]]
    ]


def test_scalars_are_cut_to_the_range():
    picture = draw_scalar(np.array([[-1, 0, 0.5, 1, 2]]), 0, 1, 'gray')
    assert_array_equal(picture[0, :, 0], [0, 0, 128, 255, 255])
    assert draw_scalar(np.zeros((2, 2)), 0, 0, 'gray').max() == 0


def test_probabilities_round_to_bytes():
    assert_array_equal(probability_to_bytes(np.array([-0.1, 0, 0.0019, 0.002, 1, 1.5])), [0, 0, 0, 1, 255, 255])


def test_a_range_of_zero_length_is_drawn_dark():
    with np.errstate(all='raise'):
        assert draw_scalar(np.full((1, 2), 3.0), 3.0, 3.0, 'gray').tolist() == [[[0] * 3] * 2]


def test_what_is_no_number_is_drawn_like_the_lowest():
    assert draw_scalar(np.array([[np.nan, 5, 7]]), 5, 7, 'gray')[0, :, 0].tolist() == [0, 0, 255]
    assert probability_to_bytes(np.array([np.nan])).tolist() == [0]
    assert draw_scalar(np.array([[4.0]]), 3, 3.5, 'viridis').tolist() == [[[253, 231, 37]]]  # the top of that map
