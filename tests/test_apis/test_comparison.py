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

from mlore_mm.apis.comparison import compare, jobs
from mlore_mm.apis.comparison.costs import parameter_counts
from mlore_mm.apis.comparison.plan import SINGLE, read_plan
from mlore_mm.apis.comparison.results import directions, summarise
from mlore_mm.apis.comparison.tables import format_score, markdown
from mlore_mm.engine.hooks.run_clock_hook import peak_memory
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
