"""In this process; trainings that get the signal in a process of their own and go on are in test_resume.py."""

import os
import signal

import pytest
from mmengine.hooks import Hook

from mlore_mm.engine.hooks.preemption_hook import EXIT_CODE
from mlore_mm.registry import RUNNERS
from mlore_mm.utils.safe_load import load_checkpoint_file
from tests.test_engine.test_runner import load


class Signal(Hook):
    """SIGTERM to this process at an iteration."""

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter == 2:
            os.kill(os.getpid(), signal.SIGTERM)


def build(folder, **options):
    runner = RUNNERS.build(load(folder, **{'default_hooks.checkpoint.interval': 100, **options}))
    runner.register_hook(Signal())
    return runner


def test_the_iteration_is_finished_saved_and_reported(tmp_path):
    before = signal.getsignal(signal.SIGTERM)
    runner = build(tmp_path)
    with pytest.raises(SystemExit) as end:
        runner.train()
    assert end.value.code == EXIT_CODE == 143
    (saved,) = (tmp_path / 'work').glob('iter_*.pth')
    assert load_checkpoint_file(saved)['meta']['iter'] == 3
    log = next((tmp_path / 'work' / runner.timestamp).glob('*.log')).read_text()
    assert 'Stopped by SIGTERM after iteration 3; saved' in log
    assert signal.getsignal(signal.SIGTERM) == before


def test_without_our_checkpoint_hook_the_signal_is_left_alone(tmp_path):
    taken = []
    before = signal.signal(signal.SIGTERM, lambda *args: taken.append(args))
    try:
        build(tmp_path, **{'default_hooks.checkpoint.type': 'CheckpointHook'}).train()
    finally:
        signal.signal(signal.SIGTERM, before)
    assert len(taken) == 1
    assert not list((tmp_path / 'work').glob('iter_3.pth'))
