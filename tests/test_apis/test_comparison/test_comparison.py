"""compare(): real runs, one of which fails and one of which is killed."""

import csv
import json
import multiprocessing
import os
import runpy
import signal
import sys
from pathlib import Path

import pytest
from PIL import Image

from mlore_mm.apis.comparison import compare, jobs, worker
from mlore_mm.apis.comparison.comparison import _said
from mlore_mm.apis.comparison.plan import SINGLE
from mlore_mm.engine.hooks.run_clock_hook import RunClockHook
from tests.shared import REPO


def call(arguments: list[str], log: Path, kill: str = '') -> int:
    """The worker in a process that has imported everything; one whose folder has ``kill`` in its name dies half-way."""
    context = multiprocessing.get_context('forkserver')
    context.set_forkserver_preload(['mlore_mm.apis.comparison.worker', 'tests.training'])
    process = context.Process(target=work, args=(arguments, str(log), kill))
    process.start()
    process.join(300)
    return process.exitcode


def work(arguments: list[str], log: str, kill: str) -> None:
    from mmengine.runner import Runner

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
    other.write_text(plan.read_text() + systems.replace('wider', 'sharing') + "name = 'of another'\n")
    before = (work_dir / 'comparison.json').read_bytes()
    with pytest.raises(ValueError, match="holds .*sharing, seed 0 of the plan 'plan', whose config is not that"):
        compare(other, work_dir, add=True)
    assert (work_dir / 'comparison.json').read_bytes() == before


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


def test_what_is_said_of_a_run():
    tasks = dict(a=dict(headline='IoU', value=1.23456), b=dict(headline='RMSE', value=100))
    assert _said(dict(status='done', tasks=tasks)) == 'a IoU 1.235, b RMSE 100'
    assert _said(dict(status='failed', reason='a\n b' + 'c' * 300)) == f'FAILED (a b{"c" * 197})'
    assert _said(dict(status='missing')) == 'FAILED ()'
