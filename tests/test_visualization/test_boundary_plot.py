import numpy as np
import pytest
from PIL import Image

from mlore_mm.visualization import boundary_plot
from mlore_mm.visualization.boundary_plot import plot_precision_recall


def test_the_curve_lies_on_lines_of_equal_f(tmp_path, monkeypatch):
    written = []
    monkeypatch.setattr(boundary_plot, 'write_figure', lambda path, figure, dpi: written.append((path, figure, dpi)))
    recall, precision = np.array([0.2, 0.5, 0.9]), np.array([0.9, 0.6, 0.1])
    plot_precision_recall('x.png', recall, precision, (0.5, 0.6), 'ours')
    ((path, figure, dpi),) = written
    (axes,) = figure.axes
    *equal, curve, best = axes.lines
    assert (path, dpi, len(equal)) == ('x.png', 150, 9)
    for line, wanted in zip(equal, np.arange(1, 10) / 10, strict=True):
        r, p = line.get_data()
        assert 2 * r * p / (r + p) == pytest.approx(np.full(200, wanted))
        assert (r.min(), r.max()) == (pytest.approx(wanted / (2 - wanted)), 1)
        assert p.max() == pytest.approx(1)
        assert line.get_linewidth() < curve.get_linewidth()
    assert [text.get_text() for text in axes.texts][::8] == [' F=0.1', ' F=0.9']
    assert [np.array(curve.get_data()).tolist(), best.get_data()[0][0]] == [[recall.tolist(), precision.tolist()], 0.5]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ('recall', 'precision')
    assert (axes.get_xlim(), axes.get_ylim(), axes.get_aspect()) == ((0, 1), (0, 1), 1)
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ['ours', 'threshold of odsF']


def test_it_is_written(tmp_path):
    plot_precision_recall(tmp_path / 'x.png', np.array([0.2, 0.9]), np.array([0.9, 0.1]), (0.2, 0.9), 'ours')
    with Image.open(tmp_path / 'x.png') as picture:
        assert picture.size == (750, 750)
