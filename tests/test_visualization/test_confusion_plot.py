import numpy as np
import pytest
from numpy.testing import assert_array_equal

from mlore_mm.visualization.confusion_plot import percent_per_row, plot_confusion

COUNTS = np.array([[3, 1, 0], [0, 0, 0], [0, 998, 2]])


def test_a_row_is_the_true_class_in_percent():
    assert_array_equal(percent_per_row(COUNTS), [[75, 25, 0], [np.nan] * 3, [0, 99.8, 0.2]])


def test_axes_are_named_and_cells_numbered():
    figure = plot_confusion('semseg', COUNTS, ['wall', 'floor', 'bed'])
    ax = figure.axes[0]
    assert [label.get_text() for label in ax.get_xticklabels()] == ['wall', 'floor', 'bed']
    assert [label.get_text() for label in ax.get_yticklabels()] == ['wall', 'floor', 'bed']
    assert (ax.get_xlabel(), ax.get_ylabel()) == ('predicted class', 'true class')
    # (column, row): number; nothing below half a percent and in the row without a pixel
    assert {text.get_position(): text.get_text() for text in ax.texts} == {(0, 0): '75', (1, 0): '25', (1, 2): '100'}
    assert 'no labelled pixel (1 classes)' in ax.get_title()


def test_long_names_have_room():
    """The layout moves the axes so that upright names are not cut off."""
    names = ['a very long name of a class', 'b', 'c']
    figure = plot_confusion('semseg', COUNTS, names)
    figure.canvas.draw()
    boxes = [label.get_window_extent() for label in figure.axes[0].get_xticklabels()]
    assert all(box.y0 >= 0 and box.x0 >= 0 for box in boxes)


def test_numbers_are_left_out_where_they_say_little():
    percent = np.array([[5, 995], [996, 4]])
    ax = plot_confusion('x', percent, ['a', 'b']).axes[0]
    assert {text.get_position(): text.get_text() for text in ax.texts} == {(0, 0): '0', (1, 0): '100', (0, 1): '100'}
    assert [text.get_color() for text in ax.texts] == ['black', 'white', 'white']
    ax = plot_confusion('x', np.array([[55, 45], [44, 56]]), ['a', 'b']).axes[0]
    assert [text.get_color() for text in ax.texts] == ['black', 'black', 'black', 'white']
    assert 'no labelled' not in ax.get_title()
    assert (ax.images[0].norm.vmin, ax.images[0].norm.vmax) == (0, 100)


def test_many_classes_have_no_numbers():
    numbered = [4 + 0.32 * 45, 2.8 + 0.32 * 45]
    for count, numbers, inches in ((45, 45, numbered), (46, 0, [18.2, 17])):
        figure = plot_confusion('x', np.eye(count), [str(i) for i in range(count)])
        assert len(figure.axes[0].texts) == numbers
        assert figure.get_size_inches().tolist() == pytest.approx(inches)
