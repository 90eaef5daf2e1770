"""A run as a process: its states, its end, its estimate."""

import json
import os
import signal
from pathlib import Path
from types import SimpleNamespace

import pytest
from mmengine.config import Config

from mlore_mm.apis.comparison import jobs
from mlore_mm.apis.comparison.plan import read_plan


def run_of(folder, **more):
    cfg = Config(dict(train_cfg=dict(max_iters=10)))
    return SimpleNamespace(folder=lambda work_dir: folder, cfg=cfg, seconds=None, recipe='r' * 20, **more)


def test_seconds_become_iterations(plan, tmp_path, monkeypatch):
    (run, *_) = read_plan(plan, {'budget': dict(seconds=60, iterations=None)}).runs
    assert (run.budget, run.seconds) == ('60 s', 60)
    monkeypatch.setattr(jobs, 'probe', lambda *args: dict(iteration_s=0.5, image_s=1.0, images=3, start_s=7.0))
    monkeypatch.setattr(jobs, '_call', lambda *args: 1)
    assert jobs.execute(run, tmp_path) == dict(status='failed', reason='ended with 1, see output.log in its folder')
    assert Config.fromfile(run.folder(tmp_path) / 'config.py').train_cfg.max_iters == 120
    assert jobs.estimate(run, jobs.probe()) == 70


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
