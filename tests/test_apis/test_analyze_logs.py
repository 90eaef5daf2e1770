import json
import os
import runpy
import sys

import numpy as np
import pytest
from PIL import Image

from mlore_mm.apis.analysis.analyze_logs import exponential_mean, plot_runs, read_run, select_keys, table
from tests.shared import REPO


def write_log(folder, start: str, steps, **scalars) -> None:
    path = folder / start / 'vis_data' / 'scalars.json'
    path.parent.mkdir(parents=True)
    lines = [dict(lr=1e-3, loss=10 / step, loss_depth=9 / step, time=0.1, iter=step, step=step) for step in steps]
    lines.append({'depth/RMSE': 0.5, 'depth/absRel': 0.1, 'step': steps[-1], **scalars})
    path.write_text('\n'.join(map(json.dumps, lines)) + '\n')


@pytest.fixture
def runs(tmp_path):
    write_log(tmp_path / 'short', '20260101_000000', [10, 20, 30])
    write_log(tmp_path / 'long', '20260101_000000', [10, 20, 30])
    write_log(tmp_path / 'long', '20260102_000000', [30, 40], loss=0.125, delta_m=3.0)  # resumed at 20
    return [tmp_path / 'short', tmp_path / 'long']


def test_a_resumed_run_is_one_curve(runs):
    steps, values = read_run(runs[1]).scalars['loss']
    assert steps.tolist() == [10, 20, 30, 40]
    assert values == pytest.approx([1, 0.5, 1 / 3, 0.125])
    one = read_run(next(runs[1].rglob('20260101_000000/vis_data/scalars.json')), name='first')
    assert (one.name, len(one.scalars['loss'][0])) == ('first', 3)


def test_curves_by_default_and_by_pattern(runs):
    both = [read_run(path) for path in runs]
    assert [run.name for run in both] == ['short', 'long']
    assert select_keys(both) == ['loss', 'loss_depth', 'lr', 'depth/RMSE', 'delta_m']
    assert select_keys(both, ['^depth/', 'time']) == ['depth/RMSE', 'depth/absRel', 'time']
    with pytest.raises(ValueError, match=r'No key matches; there are lr, loss, loss_depth'):
        select_keys(both, ['semseg'])
    with pytest.raises(ValueError, match='Not a regular expression'):
        select_keys(both, ['('])
    rows = table(both, ['loss', 'delta_m']).splitlines()
    assert rows[0].split() == ['short', 'long']
    assert rows[1].split() == ['loss', '0.33333', '0.125']
    assert rows[2].split() == ['delta_m', '-', '3']


def test_what_is_drawn(runs):
    both = [read_run(path) for path in runs]
    figure = plot_runs(both, ['loss', 'lr'], smooth=0.5)
    loss, lr = figure.axes
    assert [len(ax.get_lines()) for ax in (loss, lr)] == [4, 2]  # raw and smooth losses; the rate as it is
    np.testing.assert_allclose(loss.get_lines()[2].get_ydata(), [1, 0.5, 1 / 3, 0.125])
    with pytest.raises(ValueError, match='smoothing'):
        plot_runs(both, ['loss'], smooth=1)


def test_mean_by_hand():
    assert exponential_mean(np.array([1.0, 3.0, 5.0]), 0.5) == pytest.approx([1, 7 / 3, (0.25 + 1.5 + 5) / 1.75])
    np.testing.assert_allclose(exponential_mean(np.full(5, 2.0), 0.9), 2)


def test_logs_that_cannot_be_read(tmp_path):
    with pytest.raises(ValueError, match='There is no scalars.json'):
        read_run(tmp_path)
    (tmp_path / 'scalars.json').write_text('{"loss": 1, "step": 1}\n{"loss": 2, "st')
    with pytest.raises(ValueError, match='scalars.json, line 2 is not a line of scalars'):
        read_run(tmp_path / 'scalars.json')


def test_command_line(runs, tmp_path, monkeypatch, capsys):
    out = tmp_path / 'out' / 'curves.png'
    monkeypatch.setattr(sys, 'argv', ['analyze_logs.py', *map(str, runs), '--names', 'a', 'b', '--out', str(out)])
    runpy.run_path(str(REPO / 'tools' / 'analysis_tools' / 'analyze_logs.py'), run_name='not main')['main']()
    assert Image.open(out).width > 1000
    assert f'Curves are in {out}' in capsys.readouterr().out


@pytest.mark.parametrize(
    'line',
    [
        b'{"loss": 1, "step": Infinity}',
        b'{"loss": 1, "step": 1e400}',
        b'{"loss": 1, "step": NaN}',
        b'{"loss": 1, "step": [1]}',
        b'{"loss": 1, "step": "abc"}',
        b'{"loss": 1, "step": 1.5}',
        b'{"loss": 1, "step": true}',
        b'{"loss": ' + b'9' * 400 + b', "step": 2}',
        b'{"loss": 1, "step": ' + b'9' * 400 + b'}',
        b'[' * 100000,
        b'\xff\xfe',
        b'[1, 2]',
        b'3',
        b'{"loss": 1, "st',
    ],
)
def test_every_line_that_cannot_be_used_is_named_with_its_file(tmp_path, line):
    (tmp_path / 'scalars.json').write_bytes(b'{"loss": 1.0, "step": 1}\n' + line + b'\n')
    with pytest.raises(ValueError, match='scalars.json, line 2 '):
        read_run(tmp_path)


def test_odd_names_and_values_of_json_are_drawn(tmp_path):
    line = b'{"loss": NaN, "l\\ud800": 1.0, "text": "x", "none": null, "step": 1}\n{"loss": 2, "step": 2.0}'
    (tmp_path / 'scalars.json').write_bytes(line)
    run = read_run(tmp_path)
    plot_runs([run], list(run.scalars), 0.0, False)
    assert list(run.scalars['loss'][0]) == [1, 2]
    assert all(key.encode('utf-8') for key in run.scalars)


def test_the_later_start_is_the_one_that_began_later_in_the_training(tmp_path):
    """Its folder has the earlier name: the clock was set back."""
    for name, first, loss in (('20260102', 1, 1.0), ('20260101', 3, 2.0)):
        (tmp_path / name).mkdir()
        lines = [f'{{"loss": {loss}, "step": {step}}}' for step in range(first, 6)]
        (tmp_path / name / 'scalars.json').write_text('\n'.join(lines))
    assert list(read_run(tmp_path).scalars['loss'][1]) == [1, 1, 2, 2, 2]


def test_of_two_starts_at_one_step_the_later_written_counts(tmp_path):
    for name, loss, written in (('a', 1.0, 200), ('b', 2.0, 100)):
        (tmp_path / name).mkdir()
        (tmp_path / name / 'scalars.json').write_text(f'{{"loss": {loss}, "step": 1}}')
        os.utime(tmp_path / name / 'scalars.json', (written, written))
    assert read_run(tmp_path).last('loss') == 1.0


def test_lines_without_a_number_of_their_step_and_what_is_no_value(tmp_path):
    lines = [
        '{"memory": 5}',
        '',
        '{"loss": 2, "iter": 3, "epoch": 1, "best": true}',
        '{"loss": 1, "iter": 9, "step": 4}',
    ]
    (tmp_path / 'scalars.json').write_text('\n'.join(lines))
    run = read_run(tmp_path / 'scalars.json')
    assert {key: (list(steps), list(values)) for key, (steps, values) in run.scalars.items()} == {
        'loss': ([3, 4], [2.0, 1.0])
    }
    assert run.name == str(tmp_path / 'scalars.json')
    (tmp_path / 'a' / 'scalars.json').mkdir(parents=True)
    with pytest.raises(ValueError, match='scalars.json cannot be read: Is a directory'):
        read_run(tmp_path / 'a')


def test_axes_marks_and_legend(runs):
    both = [read_run(path) for path in runs]
    keys = ['loss', 'lr', 'delta_m', 'time', 'depth/RMSE']
    figure = plot_runs(both, keys, log_losses=True)
    assert [ax.get_title() for ax in figure.axes if ax.axison] == keys  # two rows of four, three of them empty
    assert len(figure.axes) == 8
    assert [ax.get_yscale() for ax in figure.axes[:2]] == ['log', 'linear']
    first, second = figure.axes[0].get_lines()
    assert (first.get_color(), second.get_color(), first.get_marker()) == ('C0', 'C1', 'None')
    (point,) = figure.axes[2].get_lines()  # the second run's only
    assert (point.get_color(), point.get_marker()) == ('C1', 'o')
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ['short', 'long']
    assert plot_runs(both[:1], ['loss']).legends == []
    with pytest.raises(ValueError, match='smoothing is from 0'):
        plot_runs(both, keys, smooth=-0.1)


def test_a_training_begun_anew_counts_alone(tmp_path):
    """Once interrupted and resumed; then anew from the first iteration, which has not come as far yet."""
    starts = (('20260101', range(1, 6), 1.0), ('20260102', range(4, 9), 2.0), ('20260103', range(1, 4), 9.0))
    for written, (name, steps, loss) in enumerate(starts, start=1):
        file = tmp_path / name / 'scalars.json'
        file.parent.mkdir()
        file.write_text('\n'.join(f'{{"loss": {loss}, "old_{name}": 1, "step": {step}}}' for step in steps))
        os.utime(file, (written, written))
    (tmp_path / 'fast_dev_run/train').mkdir(parents=True)
    (tmp_path / 'fast_dev_run/train/scalars.json').write_text('{"loss": 7, "step": 1}')
    run = read_run(tmp_path)
    assert [x.tolist() for x in run.scalars['loss']] == [[1, 2, 3], [9, 9, 9]]
    assert set(run.scalars) == {'loss', 'old_20260103'}
    alone = read_run(tmp_path / 'fast_dev_run/train/scalars.json')
    assert alone.last('loss') == 7
