import numpy as np
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
