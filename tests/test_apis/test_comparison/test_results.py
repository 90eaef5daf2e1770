"""Means, spreads and gains, by hand."""

import pytest

from mlore_mm.apis.comparison.plan import SINGLE
from mlore_mm.apis.comparison.results import directions, summarise
from mlore_mm.apis.comparison.tables import format_score, markdown
from tests.test_apis.test_comparison.rows import TASKS, record


def test_means_spreads_and_gains_over_seeds():
    records = [
        *(record(SINGLE, seed, 'a', a=value) for seed, value in enumerate((40.0, 60.0))),
        *(record(SINGLE, seed, 'b', b=value) for seed, value in enumerate((1.0, 1.0))),
        *(record('x', seed, a=a, b=b) for seed, (a, b) in enumerate(((60.0, 0.9), (50.0, 1.1)))),
        record('x', 2),
        record('y', 0, a=70.0),
    ]
    single, x, y = summarise(records, list(TASKS))
    assert (single.scores['a'].mean, single.scores['a'].std) == (50, pytest.approx(200**0.5))
    assert single.gain.values == pytest.approx((-10, 10))  # halves of -20 % and +20 %, b as it was
    assert x.gain.values == pytest.approx((15, -5))  # (20 + 10) / 2, (0 - 10) / 2
    assert (x.gain.mean, x.done, x.planned, x.failures) == (pytest.approx(5), 2, 3, [('x, seed 2', 'x')])
    assert y.gain is None  # not the mean of fewer tasks
    assert (single.costs['gmacs'], single.costs['peak_memory'], x.costs['gmacs']) == (2.0, 7.5, 1.0)
    assert single.costs['latency_ms'] is None
    page = markdown('t', [single, x, y], TASKS)
    assert '| x | 2, 1 failed | 55.00 ± 7.07 | 1.000 ± 0.141 | +5.00 ± 14.14 |' in page
    assert '- x, seed 2: x' in page
    assert format_score(y.gain) == '-'


def test_runs_with_other_metrics_are_refused():
    other = record('x', 0, a=1.0)
    other['outcome']['tasks']['a']['headline'] = 'maxF'
    with pytest.raises(ValueError, match="'a' is measured by .*IoU.* and by .*maxF.* in x, seed 0"):
        directions([record('y', 0, a=1.0), other])


def test_runs_scored_on_other_images_are_refused():
    """Within the same data, encoder and budget. Runs that are not done, or of an older version, do not say how many."""
    runs = [record('x', 0, a=1.0), record('y', 0, a=1.0), record('z', 0), record('w', 0, a=1.0)]
    runs[0]['outcome']['images'], runs[3]['outcome']['images'] = 90, 491
    directions(runs[:3])
    with pytest.raises(ValueError, match="x, seed 0 was scored on 90 images and w, seed 0 on 491.*data 'd'"):
        directions(runs)
    runs[3]['data'] = 'half of it'
    directions(runs)
