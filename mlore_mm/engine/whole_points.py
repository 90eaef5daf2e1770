"""Moments of a training at which a checkpoint holds all of its state."""

import torch
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper, OptimWrapperDict
from torch import Tensor, nn


def step_is_whole(optim_wrapper: OptimWrapper | OptimWrapperDict) -> bool:
    """Whether no gradients wait for more batches: with gradient accumulation, whether the weights were just updated.

    Gradients are in no checkpoint, and in a distributed training each process has its own until the update.
    """
    wrappers = optim_wrapper.values() if isinstance(optim_wrapper, OptimWrapperDict) else [optim_wrapper]
    return all(wrapper.should_update() for wrapper in wrappers)


def end_validation(runner) -> None:
    """Let the hooks end a validation that is broken off: without numbers, so that nothing is logged or chosen by.

    Those that do something when a validation begins undo it when it ends. mmengine's EMAHook puts averaged weights
    into the model in ``before_val_epoch`` and takes them out in ``after_val_epoch``; others work in such pairs as well.
    """
    begins = ('before_val_epoch', '_before_epoch', 'before_val')
    hooks = [hook for hook in runner.hooks if any(_has_own(hook, name) for name in begins)]
    for hook in hooks:
        hook.after_val_epoch(runner, metrics={})
    for hook in hooks:
        hook.after_val(runner)


def fingerprint(model: nn.Module) -> Tensor:
    """A number for each weight and buffer, (N,), that any change of it changes; does not wait for the device."""
    tensors = [x.detach() for x in (*model.parameters(), *model.buffers())]
    return torch.stack([_bits(x).sum(dtype=torch.int64) for x in tensors]) if tensors else torch.zeros(0)


def _bits(x: Tensor) -> Tensor:
    """The same numbers as integers; NaN then differs from no number."""
    kinds = {2: torch.int16, 4: torch.int32, 8: torch.int64}
    return x.contiguous().view(kinds[x.element_size()]) if x.element_size() in kinds and not x.is_complex() else x


def _has_own(hook: Hook, name: str) -> bool:
    return name in vars(hook) or getattr(type(hook), name, None) is not getattr(Hook, name, None)
