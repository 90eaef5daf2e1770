"""The two pictures of a comparison."""

import pytest

from mlore_mm.apis.comparison.pictures import _names, plot_costs, plot_scores
from mlore_mm.apis.comparison.results import Row
from tests.test_apis.test_comparison.rows import TASKS, score, two_rows


def test_bars_and_points():
    figure = plot_scores(two_rows(), TASKS)
    first, second = figure.axes
    assert [text.get_text() for text in first.get_yticklabels()] == ['x', 'y']
    (bar,) = first.patches
    low, high = first.get_xlim()
    assert bar.get_x() + bar.get_width() == pytest.approx(60)
    assert (low, high) == pytest.approx((57, 63))  # one and a half spreads
    assert [text.get_text() for text in first.texts] == [' not run']
    assert second.get_xlim() == pytest.approx((0.49, 0.51))
    assert first.get_ylim() == (1.5, -0.5)
    rows = [*two_rows(), Row('d', 'e', 'b', 'z', gain=score(3.0), costs=dict(gmacs=2.0, training_s=90.0))]
    rows[1].failures = [('y', 'z')]
    assert [text.get_text() for text in plot_scores(rows, TASKS).axes[0].texts] == [' failed', ' not run']
    figure = plot_costs(rows)
    points = [[(bar.get_label(), *bar.lines[0].get_xydata().tolist()) for bar in ax.containers] for ax in figure.axes]
    assert points == [[('z', [2.0, 3.0])], [('z', [1.5, 3.0])]]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ['z']
    assert figure._supxlabel.get_text() == 'without delta_m: y'
    many = [Row('d', 'e', 'b', f's{i}', gain=score(3.0), costs=dict(gmacs=2.0)) for i in range(11)]
    drawn = [bar.lines[0] for bar in plot_costs(many).axes[0].containers]
    assert len({(line.get_color(), line.get_marker()) for line in drawn}) == 11
    assert plot_costs(rows[:2]).legends == []
    assert _names([rows[0], Row('d', 'f', 'c', 'x')]) == ['x, e, b', 'x, f, c']
