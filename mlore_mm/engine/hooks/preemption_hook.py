"""Saves and ends when a cluster takes the machine back."""

import signal
import threading

import torch
from mmengine.device import get_device
from mmengine.dist import all_reduce, is_distributed, is_main_process
from mmengine.hooks import Hook

from mlore_mm.engine.hooks.safe_checkpoint_hook import SafeCheckpointHook
from mlore_mm.registry import HOOKS

EXIT_CODE = 128 + signal.SIGTERM  # what a shell reports for a program that SIGTERM ended


@HOOKS.register_module()
class PreemptionHook(Hook):
    """On SIGTERM, which schedulers send before they kill: finish the iteration, save, and end with exit code 143.

    All processes of a distributed run agree after every iteration whether one of them got the signal, and stop at the
    same one. During a validation the last iteration is saved, and ``--resume`` repeats the validation. The code is not
    0, so that a script does not take the training for finished.

    It needs :class:`SafeCheckpointHook`; without it, signals are left alone.
    """

    priority = 'LOWEST'

    def __init__(self) -> None:
        self.requested = False
        self._checkpoints: SafeCheckpointHook | None = None
        self._previous = None

    def before_train(self, runner) -> None:
        self.requested = False
        self._checkpoints = next((hook for hook in runner.hooks if isinstance(hook, SafeCheckpointHook)), None)
        if self._checkpoints is not None and threading.current_thread() is threading.main_thread():
            self._previous = signal.signal(signal.SIGTERM, self._request)

    def _request(self, number, frame) -> None:
        self.requested = True

    def after_train_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        self._stop_if_requested(runner, runner.iter + 1)

    def after_val_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        # Alone only: processes of a distributed validation may have different numbers of batches left.
        if not is_distributed():
            self._stop_if_requested(runner, runner.iter)

    def after_train(self, runner) -> None:
        self._restore()

    def _stop_if_requested(self, runner, iterations: int) -> None:
        if self._checkpoints is None or not _any_process(self.requested):
            return
        path = self._checkpoints.save_now(runner, iterations)
        _any_process(True)  # nobody leaves before the file is written
        self._restore()
        if is_main_process():
            runner.logger.warning(
                f'Stopped by SIGTERM after iteration {iterations}; saved {path}. Go on with --resume.'
            )
        raise SystemExit(EXIT_CODE)

    def _restore(self) -> None:
        if self._previous is not None:
            signal.signal(signal.SIGTERM, self._previous)
            self._previous = None


def _any_process(flag: bool) -> bool:
    if not is_distributed():
        return flag
    votes = torch.tensor(int(flag), device=get_device())
    all_reduce(votes, op='max')
    return bool(votes)
