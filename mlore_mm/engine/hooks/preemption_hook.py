"""Saves and ends when a cluster takes the machine back."""

import signal
import threading
from typing import NoReturn

import torch
from mmengine.device import get_device
from mmengine.dist import all_reduce, is_distributed, is_main_process
from mmengine.hooks import Hook

from mlore_mm.engine.hooks.safe_checkpoint_hook import SafeCheckpointHook
from mlore_mm.engine.whole_points import end_validation, fingerprint, step_is_whole
from mlore_mm.registry import HOOKS

EXIT_CODE = 128 + signal.SIGTERM  # what a shell reports for a program that SIGTERM ended


@HOOKS.register_module()
class PreemptionHook(Hook):
    """On SIGTERM, which schedulers send before they kill: finish the iteration, save, and end with exit code 143.

    All processes of a distributed run agree after every iteration whether one of them got the signal, and stop at the
    same one. With gradient accumulation they stop when the weights are next updated. The code is not 0, so that a
    script does not take the training for finished.

    During a validation the last iteration is saved, and ``--resume`` repeats the validation. Hooks that change the
    weights for a validation, such as mmengine's EMAHook, change them back first; should the weights then not be those
    from before the validation, nothing is saved, and ``--resume`` goes on from the checkpoint before. Several
    processes, and a validation in the middle of an accumulation, end the validation first.

    It needs :class:`SafeCheckpointHook`; without it, signals are left alone.
    """

    priority = 'LOWEST'

    def __init__(self) -> None:
        self.requested = False
        self._checkpoints: SafeCheckpointHook | None = None
        self._previous = None
        self._weights = torch.zeros(0)

    def before_train(self, runner) -> None:
        self.requested = False
        self._checkpoints = next((hook for hook in runner.hooks if isinstance(hook, SafeCheckpointHook)), None)
        if self._checkpoints is not None and threading.current_thread() is threading.main_thread():
            self._previous = signal.signal(signal.SIGTERM, self._request)

    def _request(self, number, frame) -> None:
        self.requested = True

    def after_train_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        if self._checkpoints is None or not step_is_whole(runner.optim_wrapper) or not _any_process(self.requested):
            return
        done = runner.iter + 1
        self._stop(runner, done, f'saved {self._checkpoints.save_now(runner, done)}')

    def before_validation(self, runner) -> None:
        """Called by the runner before any hook may change the weights for the validation."""
        if self._checkpoints is not None and not is_distributed():
            self._weights = fingerprint(runner.model)

    def after_val_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        # Alone only: processes of a distributed validation may have different numbers of batches left.
        if not self.requested or self._checkpoints is None or is_distributed():
            return
        if not step_is_whole(runner.optim_wrapper):
            return
        if self._checkpoints.saved_step != runner.iter:
            end_validation(runner)
        if self._checkpoints.saved_step == runner.iter or torch.equal(self._weights, fingerprint(runner.model)):
            self._stop(runner, runner.iter, f'saved {self._checkpoints.save_now(runner, runner.iter)}')
        self._stop(
            runner,
            runner.iter,
            f'in its validation. A hook keeps other weights in the model than those trained, so nothing was saved; the '
            f'newest checkpoint is {self._checkpoints.last_ckpt}',
        )

    def after_train(self, runner) -> None:
        self._restore()

    def _stop(self, runner, iterations: int, what: str) -> NoReturn:
        _any_process(True)  # nobody leaves before the file is written
        self._restore()
        if is_main_process():
            runner.logger.warning(f'Stopped by SIGTERM after iteration {iterations}; {what}. Go on with --resume.')
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
