"""The clock of a training."""

import resource
import sys
from pathlib import Path
from types import SimpleNamespace

from mlore_mm.engine.hooks import run_clock_hook
from mlore_mm.engine.hooks.run_clock_hook import RunClockHook, peak_memory, read_clock


def test_peak_memory_is_in_bytes_everywhere(monkeypatch):
    """Linux says kilobytes in /proc; elsewhere getrusage says kilobytes, and bytes on a Mac."""
    assert 50e6 < peak_memory() < 1e12
    monkeypatch.setattr(Path, 'read_text', lambda *args: '')
    monkeypatch.setattr(resource, 'getrusage', lambda who: SimpleNamespace(ru_maxrss=3000))
    for platform, wanted in (('linux', 3_072_000), ('darwin', 3000)):
        monkeypatch.setattr(sys, 'platform', platform)
        assert peak_memory() == wanted


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
