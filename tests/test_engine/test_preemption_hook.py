"""In this process; trainings that get the signal in a process of their own and go on are in test_resume.py."""

import os
import signal
from pathlib import Path
from threading import Thread
from types import SimpleNamespace

import pytest
from mmengine.hooks import EMAHook, Hook

from mlore_mm.engine.checkpoints import differences, read_checkpoint
from mlore_mm.engine.hooks import PreemptionHook, SafeCheckpointHook
from mlore_mm.engine.hooks.preemption_hook import EXIT_CODE
from mlore_mm.registry import RUNNERS
from tests.test_engine.test_runner import load


class Signal(Hook):
    """SIGTERM to this process at an iteration, in its training step or in the validation that follows it."""

    def __init__(self, iteration=2, moment='train'):
        self.iteration, self.moment = iteration, moment

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self._send(runner, 'train')

    def after_val_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self._send(runner, 'val')

    def _send(self, runner, moment):
        if (runner.iter, moment) == (self.iteration, self.moment):
            os.kill(os.getpid(), signal.SIGTERM)


class Shift(Hook):
    """Other weights while a validation runs, changed by whichever pair of methods."""

    def __init__(self, before, after):
        setattr(self, before, lambda runner, *args, **kwargs: self._add(runner, 1.0))
        if after:
            setattr(self, after, lambda runner, *args, **kwargs: self._add(runner, -1.0))

    def _add(self, runner, value):
        runner.model.heads['depth'].bias.data.mul_(2.0**value)


def build(folder, hook=None, **options):
    runner = RUNNERS.build(load(folder, **{'default_hooks.checkpoint.interval': 100, **options}))
    if hook is not None:
        runner.register_hook(hook)
    return runner


def stopped(runner) -> str:
    """Train, be stopped; the log."""
    with pytest.raises(SystemExit) as end:
        runner.train()
    assert end.value.code == EXIT_CODE == 143
    return next(runner_folder(runner).glob('*.log')).read_text()


def runner_folder(runner):
    return Path(runner.work_dir) / runner.timestamp


def test_the_iteration_is_finished_saved_and_reported(tmp_path):
    before = signal.getsignal(signal.SIGTERM)
    log = stopped(build(tmp_path, Signal()))
    (saved,) = (tmp_path / 'work').glob('iter_*.pth')
    assert read_checkpoint(saved)['meta']['iter'] == 3
    assert 'Stopped by SIGTERM after iteration 3; saved' in log
    assert signal.getsignal(signal.SIGTERM) == before


def test_without_our_checkpoint_hook_the_signal_is_left_alone(tmp_path):
    taken = []
    before = signal.signal(signal.SIGTERM, lambda *args: taken.append(args))
    try:
        build(tmp_path, Signal(), **{'default_hooks.checkpoint.type': 'CheckpointHook'}).train()
    finally:
        signal.signal(signal.SIGTERM, before)
    assert len(taken) == 1
    assert not list((tmp_path / 'work').glob('iter_3.pth'))


@pytest.mark.parametrize(
    'changes',
    [
        lambda: EMAHook(momentum=0.3),
        lambda: EMAHook(momentum=0.3, update_buffers=True),
        lambda: Shift('before_val_epoch', 'after_val_epoch'),
        lambda: Shift('before_val', 'after_val'),
    ],
    ids=['EMA', 'EMA of buffers, too', 'epoch', 'whole validation'],
)
def test_stopped_in_a_validation_with_other_weights_it_goes_on_with_the_trained_ones(tmp_path, changes):
    straight, work = tmp_path / 'straight', tmp_path / 'work'
    options = {'default_hooks.checkpoint.interval': 2, 'default_hooks.checkpoint.max_keep_ckpts': -1}
    options['train_cfg.max_iters'] = 6
    build(tmp_path, changes(), work_dir=str(straight), **options).train()

    runner = build(tmp_path, Signal(4, 'val'), **{**options, 'default_hooks.checkpoint.interval': 100})
    runner.register_hook(changes())
    assert 'Stopped by SIGTERM after iteration 4; saved' in stopped(runner)
    assert differences(straight / 'iter_4.pth', work / 'iter_4.pth') == []

    build(tmp_path, changes(), resume=True, **options).train()
    assert differences(straight / 'iter_6.pth', work / 'iter_6.pth') == []


def test_weights_that_a_hook_does_not_give_back_are_not_saved(tmp_path):
    options = {'default_hooks.checkpoint.interval': 3, 'train_cfg.max_iters': 6, 'train_cfg.val_interval': 4}
    runner = build(tmp_path, Signal(4, 'val'), **options)
    runner.register_hook(Shift('before_val_epoch', None))
    log = stopped(runner)
    assert 'A hook keeps other weights in the model than those trained, so nothing was saved' in log
    assert 'iter_3.pth. Go on with --resume' in log
    assert not (tmp_path / 'work/iter_4.pth').exists()


@pytest.mark.parametrize(
    ('iteration', 'moment', 'saved'), [(3, 'train', 6), (4, 'val', 6), (6, 'val', 6), (8, 'val', 8)]
)
def test_accumulated_gradients_are_not_lost(tmp_path, iteration, moment, saved):
    straight, work = tmp_path / 'straight', tmp_path / 'work'
    options = {'optim_wrapper.accumulative_counts': 3, 'train_cfg.max_iters': 8, 'train_cfg.val_interval': 2}
    build(tmp_path, work_dir=str(straight), **options).train()
    log = stopped(build(tmp_path, Signal(iteration, moment), **options))
    assert f'Stopped by SIGTERM after iteration {saved}; saved' in log
    assert (work / f'iter_{saved}.pth').exists()
    build(tmp_path, resume=True, **options).train()
    assert differences(straight / 'iter_8.pth', work / 'iter_8.pth') == []


def test_a_checkpoint_that_is_due_waits_for_the_weights_to_be_updated(tmp_path):
    options = {'default_hooks.checkpoint.interval': 2, 'default_hooks.checkpoint.max_keep_ckpts': -1}
    options |= {'optim_wrapper.accumulative_counts': 3, 'train_cfg.max_iters': 10, 'train_cfg.val_interval': 5}
    build(tmp_path, **options).train()
    names = sorted(int(path.stem[5:]) for path in (tmp_path / 'work').glob('iter_*.pth'))
    assert names == [3, 6, 9, 10]  # for 2, 4, 6, 8 and 10


def test_only_the_main_thread_takes_signals_and_each_training_begins_without_one():
    runner, before = SimpleNamespace(hooks=[SafeCheckpointHook()]), signal.getsignal(signal.SIGTERM)
    hook = PreemptionHook()
    hook.requested = True
    thread = Thread(target=hook.before_train, args=(runner,))
    thread.start()
    thread.join()
    assert not hook.requested
    assert signal.getsignal(signal.SIGTERM) == before
    hook.before_train(runner)
    assert signal.getsignal(signal.SIGTERM) == hook._request
    hook.after_train(runner)
    hook.after_train(runner)
    assert signal.getsignal(signal.SIGTERM) == before
