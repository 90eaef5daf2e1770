"""Stops, or steps over, numbers that are not finite, and says where they came from."""

import json
import logging
import math
from contextlib import suppress
from pathlib import Path

import torch
from mmengine.device import get_device
from mmengine.dist import all_reduce, get_rank, is_distributed
from mmengine.hooks import Hook
from torch import Tensor, nn
from torch.distributed.fsdp import FullyShardedDataParallel

from mlore_mm.engine.hooks.seed_hook import SeedHook
from mlore_mm.engine.watched_optim_wrapper import WatchedMixin
from mlore_mm.registry import HOOKS
from mlore_mm.utils.finite import FirstNonFinite, is_finite, tensors_in
from mlore_mm.utils.unwrap import bare_model
from mlore_mm.utils.whole_files import write_whole


@HOOKS.register_module()
class NonFiniteHook(Hook):
    """Looks at loss and gradients before every update of the weights.

    Where one is NaN or infinite, a report ``nonfinite_iter_<n>.json`` goes to the work folder: the images of the batch,
    the loss of every task, the first layer of the forward pass whose output is not finite (found by a second pass with
    the same random numbers), and parameters with such gradients or values. The weights are not updated.

    Under mixed precision single gradients that overflow are ordinary: the loss scaler skips them and takes a smaller
    scale. There the loss is looked at, and the scale: one below ``min_loss_scale`` means that nothing is left to scale.

    Args:
        action: 'raise' ends the training with a message; 'skip' leaves the batch out, batch-norm statistics included,
            and warns.
        max_skips: So many batches in a row are left out at most; one more ends the training.
        min_loss_scale: Lowest scale of mixed precision.

    Raises:
        ValueError: On the options; in training as said above.
    """

    priority = 'VERY_HIGH'

    def __init__(self, action: str = 'raise', max_skips: int = 10, min_loss_scale: float = 1.0) -> None:
        if action not in ('raise', 'skip'):
            raise ValueError(f"action of NonFiniteHook is 'raise' or 'skip', but got {action!r}.")
        self.action, self.max_skips, self.min_loss_scale = action, max_skips, min_loss_scale
        self.skipped = self.in_a_row = 0
        self._call, self._loss, self._images, self._buffers = None, None, [], []

    # ---- what is watched -------------------------------------------------------------------------------------------
    def before_train(self, runner) -> None:
        self.runner, self.model = runner, bare_model(runner.model)
        self.model.register_forward_pre_hook(self._remember_call, with_kwargs=True)
        if isinstance(runner.optim_wrapper, WatchedMixin):
            runner.optim_wrapper.watcher = self
        else:
            kind = type(runner.optim_wrapper).__name__
            runner.logger.warning(
                f'NonFiniteHook watches OptimWrapper and AmpOptimWrapper only: with {kind} numbers that are not finite '
                f'are not noticed.'
            )

    def _remember_call(self, module: nn.Module, args: tuple, kwargs: dict) -> None:
        if module.training:
            self._call = (args, kwargs)

    def before_train_iter(self, runner, batch_idx: int, data_batch=None) -> None:
        self._images += [str(sample.get('img_path', '?')) for sample in _samples(data_batch)]
        if self.action == 'skip':
            self._buffers = [buffer.clone() for buffer in self.model.buffers()]

    def see_loss(self, loss: Tensor) -> None:
        self._loss = loss if self._loss is None else self._loss + loss

    def may_step(self) -> bool:
        scaler = self._scaler
        if self._is_bad(scaled=scaler is not None and scaler.is_enabled()):
            self._handle()
            return False
        self.in_a_row = 0
        return True

    def after_step(self, stepped: bool) -> None:
        if stepped:
            self._check_scale(self._scaler)
        self._images, self._loss = [], None

    @property
    def _scaler(self):
        return getattr(self.runner.optim_wrapper, 'loss_scaler', None)

    def _is_bad(self, scaled: bool) -> bool:
        bad = ~torch.isfinite(self._loss)
        if not scaled:
            gradients = [p.grad for p in self.model.parameters() if p.grad is not None]
            bad = bad | ~torch.isfinite(_norm(gradients).to(bad.device))
        if is_distributed():  # all do the same: what one process sees stops every one
            votes = bad.to(torch.int32).to(get_device())
            all_reduce(votes, op='max')
            bad = votes
        return bool(bad)

    def _check_scale(self, scaler) -> None:
        scale = scaler.get_scale() if scaler is not None and scaler.is_enabled() else math.inf
        if scale < self.min_loss_scale:
            path = self._write_report(dict(loss_scale=scale))
            raise ValueError(
                f'The loss scale of mixed precision has fallen to {scale:g}, below {self.min_loss_scale:g}, in '
                f'iteration {self.runner.iter + 1}: gradients overflow at any scale. See {path}. Train without '
                f'--amp, or with a smaller learning rate.'
            )

    # ---- what is done ----------------------------------------------------------------------------------------------
    def _handle(self) -> None:
        found = self._investigate()
        path = self._write_report(found)
        self.skipped += 1
        self.in_a_row += 1
        message = (
            f'Iteration {self.runner.iter + 1}: {_summary(found)} Images: {", ".join(found["images"])}. See {path}.'
        )
        if self.action == 'raise':
            raise ValueError(
                f'{message} Check these images and their labels with tools/analysis_tools/browse_dataset.py, or the '
                f"learning rate; default_hooks.nonfinite.action='skip' leaves such batches out."
            )
        self._restore_buffers()
        if self.in_a_row > self.max_skips:
            raise ValueError(f'{message} {self.in_a_row} batches in a row are not finite; the training cannot recover.')
        self.runner.logger.log(logging.WARNING, f'{message} Left out; {self.skipped} so far.')

    def _restore_buffers(self) -> None:
        with torch.no_grad():
            for buffer, before in zip(self.model.buffers(), self._buffers, strict=True):
                buffer.copy_(before)

    def _investigate(self) -> dict:
        """Where it starts; runs the last batch again, forward only."""
        gradients = [name for name, p in self.model.named_parameters() if p.grad is not None and not is_finite(p.grad)]
        found = dict(
            iteration=self.runner.iter + 1,
            images=self._images,
            loss=float(self._loss),
            parameters=[name for name, p in self.model.named_parameters() if not is_finite(p)],
            gradients=dict(count=len(gradients), last_layers_first=gradients[::-1][:10]),
        )
        with FirstNonFinite(self.model) as first:
            losses = self._repeat()
        found.update(first_layer=first.name, losses={name: float(value) for name, value in losses.items()})
        found['inputs_finite'] = all(is_finite(x) for x in tensors_in(self._call))
        found['tasks'] = [name for name, value in losses.items() if not math.isfinite(value)]
        return found

    def _repeat(self) -> dict[str, Tensor]:
        seeds = next((hook for hook in self.runner.hooks if isinstance(hook, SeedHook) and hook.seed is not None), None)
        if seeds is not None:
            seeds.seed_iteration(self.runner.iter)
        args, kwargs = self._call
        shared_out = isinstance(self.runner.model, FullyShardedDataParallel)  # then only the wrapper has the weights
        model = self.runner.model if shared_out else self.model
        with torch.no_grad(), self.runner.optim_wrapper.optim_context(self.runner.model):
            losses = model(*args, **kwargs)
        return {name: value.float().mean() for name, value in losses.items() if isinstance(value, Tensor)}

    def _write_report(self, found: dict) -> str:
        rank = f'_rank{get_rank()}' if get_rank() else ''
        path = Path(self.runner.work_dir) / f'nonfinite_iter_{self.runner.iter + 1}{rank}.json'
        with suppress(ValueError):  # on a full disk the message itself has to do
            write_whole(path, json.dumps(dict(found, images=self._images), indent=2, default=str))
        return str(path)


def _summary(found: dict) -> str:
    if found['parameters']:
        return f'the weights themselves are not finite, such as {found["parameters"][0]}.'
    if found['tasks']:
        where = f"first in the output of '{found['first_layer']}'" if found['first_layer'] else 'every layer is finite'
        return f'{", ".join(found["tasks"])} not finite; {where}.'
    names = found['gradients']['last_layers_first']
    return f'the gradients are not finite, or too large for a sum, first in {names[0] if names else "their norm"}.'


def _samples(batch) -> list:
    samples = batch.get('data_samples') if isinstance(batch, dict) else None
    return list(samples or [])


def _norm(gradients: list[Tensor]) -> Tensor:
    if not gradients:
        return torch.zeros(())
    return torch.nn.utils.get_total_norm(gradients)
