"""A toy plan: a system that is killed and goes on, one that fails, single-task models, and the table of them all."""

import csv
import json
import multiprocessing
import os
import resource
import runpy
import signal
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from mmengine.config import Config
from PIL import Image

from mlore_mm.apis.comparison import compare, costs, jobs, worker
from mlore_mm.apis.comparison.comparison import _said
from mlore_mm.apis.comparison.costs import parameter_counts
from mlore_mm.apis.comparison.pictures import _names, plot_costs, plot_scores
from mlore_mm.apis.comparison.plan import SINGLE, _budget, _file_name, _system, read_plan, set_iterations
from mlore_mm.apis.comparison.results import Row, Score, directions, summarise
from mlore_mm.apis.comparison.tables import csv_text, format_cost, format_score, markdown, runs_text, task_title
from mlore_mm.engine.hooks import run_clock_hook
from mlore_mm.engine.hooks.run_clock_hook import RunClockHook, peak_memory, read_clock
from tests.shared import REPO
from tests.tiny import TRAINING, write_rooms, write_tiny

HARD_SHARING = """
model['decode_head'] = dict(_delete_=True, type='MultiTaskFCNHead', in_channels=[16], in_index=[1], embed_dims=8)
model['criterion'] = dict(_delete_=True, type='MultiTaskCriterion')
"""
PLAN = """
systems = dict(
    sharing='sharing.py',
    mlore=dict(config='tiny.py'),
    broken=dict(config='tiny.py', cfg_options={'model.decode_head.in_channels': [8, 16, 32, 63]}),
)
single_task = 'sharing.py'
budget = dict(iterations=4)
seeds = [0]
tasks = ['depth', 'semseg']
data = dict(name='noise', cfg_options={'train_dataloader.num_workers': 0})
"""
TASKS = dict(
    a=dict(headline='IoU', unit='', higher_is_better=True), b=dict(headline='RMSE', unit='m', higher_is_better=False)
)


def call(arguments: list[str], log: Path, kill: str = '') -> int:
    """The worker in a process that has imported everything; one whose folder has ``kill`` in its name dies half-way."""
    context = multiprocessing.get_context('forkserver')
    context.set_forkserver_preload(['mlore_mm.apis.comparison.worker', 'tests.training'])
    process = context.Process(target=work, args=(arguments, str(log), kill))
    process.start()
    process.join(120)
    return process.exitcode


def work(arguments: list[str], log: str, kill: str) -> None:
    from mmengine.runner import Runner

    from mlore_mm.apis.comparison import worker
    from mlore_mm.engine.hooks.run_clock_hook import RunClockHook

    with open(log, 'ab') as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    Runner._log_env = lambda *args: None  # asks compilers for their versions, which takes seconds
    if kill and kill in arguments[0]:
        after = RunClockHook.after_train_iter

        def die(self, runner, *args, **kwargs):
            if runner.iter == 2:
                os.kill(os.getpid(), signal.SIGKILL)
            after(self, runner, *args, **kwargs)

        RunClockHook.after_train_iter = die
    sys.exit(worker.main(arguments))


@pytest.fixture(scope='module')
def plan(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp('comparison')
    data = write_rooms(folder / 'rooms', 2)
    write_tiny(folder, data, TRAINING)
    (folder / 'sharing.py').write_text((folder / 'tiny.py').read_text() + HARD_SHARING)
    (folder / 'plan.py').write_text(PLAN)
    return folder / 'plan.py'


@pytest.fixture(scope='module')
def compared(plan):
    """The folder after a first call, in which one run was killed, and what the second wrote."""
    work_dir = plan.parent / 'work'
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jobs, '_call', lambda arguments, log: call(arguments, log, 'mlore'))
        compare(plan, work_dir)
        first = (work_dir / 'comparison.md').read_text()
        times = {path: path.stat().st_mtime_ns for path in work_dir.rglob('result.json')}
        patch.setattr(jobs, '_call', call)
        files = compare(plan, work_dir)
    return work_dir, first, times, files


def test_failed_and_killed_runs_are_in_the_table(compared):
    _, first, _, _ = compared
    mlore, broken = (next(x for x in first.splitlines() if x.startswith(f'| {name}')) for name in ('mlore', 'broken'))
    assert mlore.count('failed') == broken.count('failed') == 4  # runs, two scores, delta_m
    assert 'mlore, seed 0: ended by SIGKILL' in first
    assert '[8, 16, 32, 63]' in first


def test_what_is_done_stays_and_what_is_half_done_goes_on(compared):
    work_dir, _, times, _ = compared
    assert len(times) == 3  # two tasks alone, and hard sharing
    assert all(path.stat().st_mtime_ns == time for path, time in times.items())
    (folder,) = (work_dir / 'runs').glob('*mlore*')
    log = (folder / jobs.LOG).read_text()
    assert 'resumed epoch: 0, iter: 2' in log
    assert json.loads((folder / 'result.json').read_text())['iterations'] == 4


def test_the_table_has_scores_gains_and_costs(compared, plan):
    work_dir, _, _, files = compared
    assert [x.name for x in files] == ['comparison.md', 'comparison.csv', 'comparison.json', 'scores.png', 'costs.png']
    rows = {row['system']: row for row in csv.DictReader((work_dir / 'comparison.csv').open())}
    assert list(rows) == [SINGLE, 'sharing', 'mlore', 'broken']
    single, sharing = rows[SINGLE], rows['sharing']
    assert (single['done'], single['planned'], rows['broken']['failed']) == ('2', '2', '1')
    assert float(single['delta_m']) == 0
    gains = [
        sign * (float(sharing[key]) / float(single[key]) - 1) for key, sign in (('depth/RMSE', -1), ('semseg/mIoU', 1))
    ]
    assert float(sharing['delta_m']) == pytest.approx(50 * sum(gains))
    for row in (single, sharing, rows['mlore']):
        costs = {key: float(row[key]) for key in ('trainable', 'gmacs', 'latency_ms', 'peak_memory', 'training_s')}
        assert all(value > 0 for value in costs.values()), costs
        assert row['frozen'] == '0.0'
    one = json.loads(next((work_dir / 'runs').glob('*sharing*/result.json')).read_text())['costs']
    assert float(sharing['trainable']) == one['trainable']
    assert float(single['gmacs']) > 1.5 * float(sharing['gmacs'])  # the encoder twice
    assert min(Image.open(path).size[0] for path in files[3:]) > 300
    page = files[0].read_text()
    assert 'data noise; encoder as configured; budget 4 iterations' in page
    assert '| depth RMSE m ↓ |' in page


def test_another_plan_needs_add(compared, plan, monkeypatch):
    work_dir, *_ = compared
    other = plan.with_name('other.py')
    systems = "systems = dict(wider=dict(config='sharing.py', cfg_options={'model.decode_head.embed_dims': 12}))\n"
    other.write_text(plan.read_text() + systems)
    with pytest.raises(ValueError, match=r'holds a comparison with 3 runs that this plan does not name.*--add'):
        compare(other, work_dir)
    calls = []
    monkeypatch.setattr(jobs, '_call', lambda *args: (calls.append(args), call(*args))[1])
    compare(other, work_dir, add=True)
    assert len(calls) == 1  # the single-task models are known
    rows = {row['system']: row for row in csv.DictReader((work_dir / 'comparison.csv').open())}
    assert set(rows) == {SINGLE, 'sharing', 'mlore', 'broken', 'wider'}
    assert rows['wider']['delta_m']
    compare(plan, work_dir, add=True)  # as it was, for the other tests


def test_dry_run_estimates_and_the_tool_says_what_is_wrong(compared, plan, monkeypatch, capsys):
    work_dir, *_ = compared
    monkeypatch.setattr(jobs, '_call', call)
    single = ['single_task=None', "tasks=['depth']"]
    script = str(REPO / 'tools' / 'compare.py')
    arguments = [script, str(plan), '--work-dir', str(plan.parent / 'dry'), '--dry-run', '--options', *single]
    monkeypatch.setattr(sys, 'argv', arguments)
    with pytest.raises(SystemExit) as end:
        runpy.run_path(script, run_name='__main__')
    assert not end.value.code
    lines = capsys.readouterr().out.splitlines()
    assert float(next(x for x in lines if ' sharing' in x).split()[-2]) > 0  # seconds for an iteration
    assert 'fails: ValueError' in next(x for x in lines if ' broken' in x)
    assert '3 runs of 4 iterations each, 0 done' in lines[-1]
    assert not (plan.parent / 'dry' / 'runs').exists()
    monkeypatch.setattr(sys, 'argv', [script, str(plan), '--options', 'sedes=[1]'])
    with pytest.raises(SystemExit):
        runpy.run_path(script, run_name='__main__')
    assert "Did you mean 'seeds'?" in capsys.readouterr().err


def test_seconds_become_iterations(plan, tmp_path, monkeypatch):
    (run, *_) = read_plan(plan, {'budget': dict(seconds=60, iterations=None)}).runs
    assert (run.budget, run.seconds) == ('60 s', 60)
    monkeypatch.setattr(jobs, 'probe', lambda *args: dict(iteration_s=0.5, image_s=1.0, images=3, start_s=7.0))
    monkeypatch.setattr(jobs, '_call', lambda *args: 1)
    assert jobs.execute(run, tmp_path) == dict(status='failed', reason='ended with 1, see output.log in its folder')
    assert Config.fromfile(run.folder(tmp_path) / 'config.py').train_cfg.max_iters == 120
    assert jobs.estimate(run, jobs.probe()) == 70


def test_runs_differ_by_what_they_are_and_not_by_where(plan):
    runs, more = read_plan(plan).runs, read_plan(plan, dict(seeds=[0, 1])).runs
    assert [run.task for run in runs if run.system == SINGLE] == ['depth', 'semseg']
    assert [run.digest for run in more[: len(runs)]] == [run.digest for run in runs]
    assert len({run.digest for run in more}) == 2 * len(runs)
    assert len({run.recipe for run in more}) == len(runs)
    changed = read_plan(plan, {'cfg_options': {'optim_wrapper.optimizer.lr': 1e-5}}).runs
    assert not {run.digest for run in changed} & {run.digest for run in runs}
    (broken,) = (run for run in runs if run.system == 'broken')
    assert broken.cfg.model.decode_head.in_channels == [8, 16, 32, 63]
    assert broken.cfg.task_names == ['depth', 'semseg']


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(budget=dict(iterations=0)), r'needs budget=dict\(iterations=N\)'),
        (dict(systems=dict(a=dict(config='none.py'))), 'none.py, which is no file here, beside the plan'),
        (dict(systems=dict(a=dict(cfg='tiny.py'))), r"systems.a of the plan .* has 'cfg'"),
        (dict(tasks=['dept']), 'dept'),
        ({'cfg_options': {'model.decode_hed.top_k': 1}}, 'decode_hed'),
    ],
)
def test_mistakes_of_a_plan(plan, options, message):
    if 'systems' in options:
        options['systems']['_delete_'] = True
    with pytest.raises(ValueError, match=message):
        read_plan(plan, options)


# ---- numbers, by hand ------------------------------------------------------------------------------------------
def record(system, seed, task=None, **values) -> dict:
    tasks = {name: dict(TASKS[name], value=value) for name, value in values.items()}
    costs = dict(trainable=10, frozen=5, gmacs=1.0, latency_ms=None, peak_memory=7 + seed, training_s=60.0)
    outcome = (
        dict(status='done', iterations=9, tasks=tasks, costs=costs) if tasks else dict(status='failed', reason='x')
    )
    title = f'{system}, seed {seed}'
    place = dict(data='d', encoder='e', budget='9 iterations')
    return dict(place, system=system, task=task, seed=seed, title=title, outcome=outcome)


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


def test_frozen_parameters_are_told_apart():
    from torch import nn

    model = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 1))
    model[0].requires_grad_(False)
    assert parameter_counts(model) == dict(trainable=3, frozen=8)


def test_peak_memory_is_in_bytes_everywhere(monkeypatch):
    """Linux says kilobytes in /proc; elsewhere getrusage says kilobytes, and bytes on a Mac."""
    assert 50e6 < peak_memory() < 1e12
    monkeypatch.setattr(Path, 'read_text', lambda *args: '')
    monkeypatch.setattr(resource, 'getrusage', lambda who: SimpleNamespace(ru_maxrss=3000))
    for platform, wanted in (('linux', 3_072_000), ('darwin', 3000)):
        monkeypatch.setattr(sys, 'platform', platform)
        assert peak_memory() == wanted


def score(mean, std=None):
    return Score(mean, std, (mean,))


def two_rows() -> list[Row]:
    first = Row(
        'd', 'e', 'b', 'x', dict(a=score(60.0, 2.0), b=score(0.5)), score(-1.5, 0.25), dict(trainable=2e6), 2, 4
    )
    first.failures = [('x, seed 3', 'no\n memory')]
    return [first, Row('d', 'e', 'b', 'y', planned=1, costs=dict(gmacs=0.0))]


def test_the_numbers_in_full_and_in_a_page():
    lines = csv_text(two_rows(), TASKS).splitlines()
    names = 'data,encoder,budget,system,done,planned,failed,a/IoU,a/IoU std,b/RMSE,b/RMSE std,delta_m,delta_m std'
    assert lines == [
        f'{names},trainable,frozen,gmacs,latency_ms,peak_memory,training_s',
        'd,e,b,x,2,4,1,60.0,2.0,0.5,,-1.5,0.25,2000000.0,,,,,',
        'd,e,b,y,0,1,0,,,,,,,,,0.0,,,',
    ]
    page = markdown('t', two_rows(), TASKS, 'cpu')
    for line in (
        '| system | runs | a IoU ↑ | b RMSE m ↓ | delta_m % | trained M | frozen M | GMACs | latency ms',
        '| x | 2, 1 failed, 1 to do | 60.00 ± 2.00 | 0.500 | -1.50 ± 0.25 | 2 | - | - | - | - | - |',
        '| y | 0, 1 to do | - | - | - | - | - | 0 | - | - | - |',
        'data d; encoder e; budget b.',
        'training process on cpu.',
        '- x, seed 3: no memory',
    ):
        assert line in page, line
    other = Row('d', 'f', 'b', 'y', failures=[('y', 'z')], planned=1)
    page = markdown('t', [two_rows()[0], other], TASKS)
    assert '| encoder | system |' in page
    assert '| f | y | 0, 1 failed | failed | failed | failed |' in page
    assert 'training process.' in page
    assert 'Failed runs' not in markdown('t', two_rows()[1:], TASKS)


def test_numbers_of_cells():
    assert [format_score(score(x, 1.0)) for x in (9.9999, 10.0, -10.0)] == [
        '10.000 ± 1.000',
        '10.00 ± 1.00',
        '-10.00 ± 1.00',
    ]
    assert [format_score(None, text) for text in ('-', 'failed')] == ['-', 'failed']
    cells = [format_cost(*x) for x in ((None, 1), (0, 1), (99.94, 1), (100, 1), (1234567, 1e-6), (90, 1 / 60))]
    assert cells == ['-', '0', '99.9', '100', '1.23', '1.5']
    assert runs_text(Row('d', 'e', 'b', 'x', done=2, planned=2)) == '2'
    assert task_title('a', TASKS['a']) == 'a IoU ↑'


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
    macs, minutes = plot_costs(rows).axes
    assert [text.get_text() for text in macs.texts] == [text.get_text() for text in minutes.texts] == ['z']
    assert [ax.texts[0].xy for ax in (macs, minutes)] == [(2.0, 3.0), (1.5, 3.0)]
    assert plot_costs(rows)._supxlabel.get_text() == 'without delta_m: y'
    assert _names([rows[0], Row('d', 'f', 'c', 'x')]) == ['x, e, b', 'x, f, c']


def run_of(folder, **more):
    cfg = Config(dict(train_cfg=dict(max_iters=10)))
    return SimpleNamespace(folder=lambda work_dir: folder, cfg=cfg, seconds=None, recipe='r' * 20, **more)


def test_states_of_a_run(tmp_path):
    run, states = run_of(tmp_path), []
    for name, content in (('x.txt', ''), ('iter_2.pth', ''), ('failed.json', '{"a": 1}'), ('result.json', '{"b": 2}')):
        (tmp_path / name).write_text(content)
        states.append((jobs.state_of(run, tmp_path), jobs.outcome(run, tmp_path)))
    missing = dict(status='missing')
    assert states == [('to do', missing), ('half done', missing), ('failed', dict(a=1)), ('done', dict(b=2))]
    for text in ('[1]', '{"cut', '{}'):
        (tmp_path / 'result.json').write_text(text)
        assert jobs.state_of(run, tmp_path) == 'failed'


def test_a_probe_is_made_once_and_estimates(tmp_path, monkeypatch):
    calls, clock = [], iter([0.0, 30.0])
    monkeypatch.setattr(jobs.time, 'monotonic', lambda: next(clock))
    found = dict(iteration_s=2.0, image_s=0.5, images=100, start_s=3.0)

    def call(arguments, log):
        calls.append(arguments)
        (Path(arguments[0]) / 'probe.json').write_text(json.dumps(found))
        return 0

    monkeypatch.setattr(jobs, '_call', call)
    run = run_of(tmp_path)
    times = jobs.probe(run, tmp_path)
    assert times == dict(found, start_s=8.0)  # of 30 s, 10 iterations took 20 and 4 images 2
    assert jobs.probe(run, tmp_path) == times
    assert calls == [[str(tmp_path / 'probes' / ('r' * 12)), '--probe']]
    assert [path.name for path in (tmp_path / 'probes').iterdir()] == ['r' * 12 + '.json']
    assert jobs.estimate(run, times) == 8 + 10 * 2 + 100 * 0.5
    run.seconds = 7
    assert jobs.estimate(run, times) == 8 + 7 + 50


@pytest.mark.parametrize(
    ('code', 'log', 'text'),
    [
        (-9, '', 'ended by SIGKILL, as a machine without memory does'),
        (-15, 'ValueError: x', 'ended by SIGTERM'),
        (1, 'ValueError: a\ntorch.Error: b\nRuntimeError: c\nno Error: d', 'RuntimeError: c'),
        (1, 'ValueError: a\n' + 'line\n' * 40, 'ended with 1, see output.log in its folder'),
        (3, None, 'ended with 3, see output.log in its folder'),
    ],
)
def test_why_a_run_ended(tmp_path, code, log, text):
    if log is not None:
        (tmp_path / 'output.log').write_text(log)
    assert jobs._explain(code, tmp_path / 'output.log') == text


def test_a_child_is_taken_along(tmp_path, monkeypatch):
    done = []
    monkeypatch.setenv('PYTHONPATH', 'mine')

    class Child:
        def __init__(self, command, stdout, stderr, env):
            done.append((command[1:], env['PYTHONPATH']))

        def wait(self, timeout=None):
            done.append(('wait', timeout))
            if timeout is None:
                raise KeyboardInterrupt
            raise jobs.subprocess.TimeoutExpired('x', timeout)

        def poll(self):
            return None

        def terminate(self):
            done.append('terminate')

        def kill(self):
            done.append('kill')

    with pytest.raises(KeyboardInterrupt):
        jobs._call(['folder'], tmp_path / 'log', Child)
    command = ['-m', 'mlore_mm.apis.comparison.worker', 'folder']
    path = os.pathsep.join([str(Path(jobs.__file__).resolve().parents[3]), 'mine'])
    assert done == [(command, path), ('wait', None), 'terminate', ('wait', 60), 'kill']


def test_sigterm_ends_the_program_as_an_interruption_does():
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as end, jobs.ending_softly():
        os.kill(os.getpid(), signal.SIGTERM)
    assert end.value.code == 143
    assert signal.getsignal(signal.SIGTERM) == before


def test_what_is_said_of_a_run():
    tasks = dict(a=dict(headline='IoU', value=1.23456), b=dict(headline='RMSE', value=100))
    assert _said(dict(status='done', tasks=tasks)) == 'a IoU 1.235, b RMSE 100'
    assert _said(dict(status='failed', reason='a\n b' + 'c' * 300)) == f'FAILED (a b{"c" * 197})'
    assert _said(dict(status='missing')) == 'FAILED ()'


@pytest.mark.parametrize(
    ('entry', 'found'),
    [
        (dict(iterations=5.0), ('5 iterations', 5, None)),
        (dict(seconds=90), ('90 s', None, 90.0)),
        (dict(seconds=0.5, iterations=None), ('0.5 s', None, 0.5)),
        (None, None),
        (dict(seconds=1, iterations=1), None),
        (dict(seconds=-1), None),
        (dict(iterations='many'), None),
    ],
)
def test_budgets(entry, found):
    if found is not None:
        assert _budget(entry, 'p.py') == found
        return
    with pytest.raises(ValueError, match=r'The plan p.py needs budget=dict\(iterations=N\) or'):
        _budget(entry, 'p.py')


def test_lengths_names_and_systems(tmp_path):
    for iterations, interval in ((10, 2), (11, 3), (3, 1)):
        cfg = Config(dict(max_iters=1, train_cfg=dict(a=1), default_hooks=dict(checkpoint=dict())))
        set_iterations(cfg, iterations)
        assert cfg.train_cfg == dict(a=1, max_iters=iterations, val_interval=iterations)
        assert (cfg.max_iters, cfg.default_hooks.checkpoint.interval) == (iterations, interval)
    assert _file_name('a b/c-1.5+é') == 'a-b-c-1.5+é'
    (tmp_path / 'plans').mkdir()
    (tmp_path / 'a.py').touch()
    plan = tmp_path / 'plans' / 'p.py'
    assert _system('a.py', 'x', plan) == dict(config=tmp_path / 'a.py', cfg_options={}, encoders=None)
    with pytest.raises(ValueError, match='x of the plan .* names no `config`'):
        _system(dict(encoders=['e']), 'x', plan)


def test_encoders_options_and_seeds_of_a_plan(plan):
    options = dict(
        encoders=dict(one={}, two=dict(cfg_options={'model.backbone.base_channels': 4, 'crop_size': (32, 32)})),
        systems=dict(_delete_=True, a='sharing.py', b=dict(config='sharing.py', encoders=['two'])),
        single_task=None,
        seeds=[5, 3],
        name='mine',
    )
    found = read_plan(plan, options)
    assert [run.title for run in found.runs] == [
        f'{pair}, seed {seed}' for seed in (5, 3) for pair in ('one, a', 'two, a', 'two, b')
    ]
    assert (found.name, found.data, found.budget, found.tasks) == ('mine', 'noise', '4 iterations', ('depth', 'semseg'))
    one, two, _ = found.runs[:3]
    assert (one.cfg.model.backbone.base_channels, two.cfg.model.backbone.base_channels) == (8, 4)
    assert one.cfg.randomness.seed == 5
    hook = one.cfg.default_hooks.checkpoint
    assert (hook.by_epoch, hook.max_keep_ckpts, hook.save_best, 'work_dir' in one.cfg) == (False, 1, None, False)
    assert [backend.type for backend in one.cfg.visualizer.vis_backends] == ['LocalVisBackend']
    assert one.folder('w') == Path('w/runs') / f'one_a_seed5_{one.digest[:8]}'
    for wrong, text in (
        (dict(seeds=[1, 1]), 'has a seed twice'),
        (dict(systems={SINGLE: 'sharing.py'}), 'is the name of'),
    ):
        with pytest.raises(ValueError, match=text):
            read_plan(plan, wrong)
    with pytest.raises(ValueError, match='There is no plan nowhere.py'):
        read_plan('nowhere.py')


# ---- costs and clocks ------------------------------------------------------------------------------------------
def test_latency_is_the_median_of_three(monkeypatch):
    speeds, asked = iter([4.0, 100.0, 5.0]), []

    def measure(model, batches, warmup):
        asked.append(([batch['inputs'][0].shape for batch in batches], warmup, model.training))
        return next(speeds)

    monkeypatch.setattr(costs, 'images_per_second', measure)
    assert costs._latency(Module(), (32, 64)) == 200  # ms
    assert asked == [([(3, 32, 64)] * 5, 2, False)] * 3
    assert costs._padded(SimpleNamespace(data_preprocessor=SimpleNamespace(size_divisor=32)), (33, 64)) == (64, 64)
    assert costs._try(lambda: 1 / 2) == 0.5
    assert costs._try(lambda: [].x) is None
    with pytest.raises(ZeroDivisionError):
        costs._try(lambda: 1 / 0)


class Module:
    """A model without a form of deployment."""

    training = True

    def eval(self):
        self.training = False


def test_the_clock_of_a_training(tmp_path, monkeypatch):
    """Iterations of 2 s, of which every 20th is written; a validation is not counted; a resumed one goes on."""
    clock, memory = SimpleNamespace(now=0.0), iter([50, 40, 30])
    monkeypatch.setattr(run_clock_hook.time, 'monotonic', lambda: clock.now)
    monkeypatch.setattr(run_clock_hook, 'peak_memory', lambda: next(memory))
    file = tmp_path / 'clock.json'
    hook, runner = RunClockHook(str(file)), SimpleNamespace(iter=0, max_iters=22)
    assert read_clock(file) == {}

    def go(hook, first, last):
        for runner.iter in range(first, last):
            clock.now += 2
            hook.after_train_iter(runner, 0)

    hook.before_train(runner)
    go(hook, 0, 19)
    assert not file.exists()
    clock.now += 1000
    hook.after_val_epoch(runner)
    go(hook, 19, 21)
    assert read_clock(file) == dict(iterations=20, seconds=40.0, recent=[2.0] * 10, memory=50)
    again, runner.iter = RunClockHook(str(file)), 10
    again.before_train(runner)
    assert (again.seconds, again.memory, again.recent) == (20.0, 50, [])
    go(again, 10, 22)
    assert read_clock(file) == dict(iterations=22, seconds=44.0, recent=[2.0] * 10, memory=50)
    fresh, runner.iter = RunClockHook(str(file)), 0
    fresh.before_train(runner)
    assert (fresh.seconds, fresh.memory) == (0, 0)
    file.write_text('[1]')
    assert read_clock(file) == {}


def test_the_score_is_that_of_the_last_iteration(tmp_path, monkeypatch):
    """An evaluation of another iteration is made again, from the newest checkpoint, on the validation set."""
    row = dict(headline='RMSE', value=0.5, unit='m', higher_is_better=False, more=1)
    file, asked = tmp_path / 'evaluation.json', []

    def write(iteration, value=0.5):
        tasks = dict(depth=dict(row, value=value))
        file.write_text(json.dumps(dict(iteration=iteration, images=3, tasks=tasks)))

    def test(cfg, checkpoint):
        asked.append((cfg.test_dataloader, cfg.test_evaluator, checkpoint))
        write(None, 0.25)

    monkeypatch.setattr(worker, 'run_test', test)
    monkeypatch.setattr(worker, 'newest_whole_checkpoint', lambda folder: (f'{folder}/iter_4.pth', []))
    cfg = Config(dict(val_dataloader=1, val_evaluator=2, test_dataloader=3, test_evaluator=4))
    write(4)
    row.pop('more')
    assert worker._scores(cfg, tmp_path, 4) == dict(tasks=dict(depth=row), images=3)
    assert asked == []
    write(2)
    assert worker._scores(cfg, tmp_path, 4)['tasks']['depth']['value'] == 0.25
    assert asked == [(1, 2, f'{tmp_path}/iter_4.pth')]
    assert cfg.test_dataloader == 3
    write(4, None)
    with pytest.raises(ValueError, match='The score of depth is not a number'):
        worker._scores(cfg, tmp_path, 4)


def test_what_a_worker_leaves(tmp_path, monkeypatch):
    monkeypatch.setattr(worker, 'probe', lambda folder: dict(a=1))
    monkeypatch.setattr(worker, 'train_and_measure', lambda folder: [][0])
    assert worker.main([str(tmp_path), '--probe']) == 0
    assert json.loads((tmp_path / 'probe.json').read_text()) == dict(a=1)
    assert worker.main([str(tmp_path)]) == 1
    failed = json.loads((tmp_path / 'failed.json').read_text())
    assert failed == dict(status='failed', reason='IndexError: list index out of range')
    assert not (tmp_path / 'result.json').exists()
