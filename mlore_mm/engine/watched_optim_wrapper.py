"""mmengine's optimizer wrappers with a place for hooks that look at losses and gradients before an update."""

from typing import Protocol

import torch
from mmengine.device import get_device
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from torch import Tensor
from torch.distributed.fsdp import FullyShardedDataParallel

from mlore_mm.registry import OPTIM_WRAPPERS
from mlore_mm.utils.half_precision import check_dtype


class Watcher(Protocol):
    """What a hook that watches updates has."""

    def see_loss(self, loss: Tensor) -> None:
        """A batch's loss, before it goes backward."""

    def may_step(self) -> bool:
        """Whether the weights may be updated, when the gradients of all batches of the update are there."""

    def after_step(self, stepped: bool) -> None:
        """After the update, or where there was none."""


class WatchedMixin:
    """Comes before a wrapper of mmengine among the bases. Configs name the wrappers as mmengine does."""

    watcher: Watcher | None = None
    sharded: FullyShardedDataParallel | None = None  # where each process has a share of the gradients only

    def update_params(self, loss: Tensor, *args, **options) -> None:
        if self.watcher is not None:
            self.watcher.see_loss(loss.detach())
        super().update_params(loss, *args, **options)

    def step(self, **options) -> None:
        stepped = self.watcher is None or self.watcher.may_step()
        if stepped:
            super().step(**options)
        if self.watcher is not None:
            self.watcher.after_step(stepped)

    def _clip_grad(self) -> None:
        """By the norm of all gradients; a process may hold none of them, and has to take part all the same."""
        if self.sharded is None or self.clip_grad_kwargs.get('max_norm') is None:
            super()._clip_grad()
            return
        norm = self.sharded.clip_grad_norm_(**{k: v for k, v in self.clip_grad_kwargs.items() if k != 'type'})
        self.message_hub.update_scalar(f'train/{self.grad_name}', float(norm))


@OPTIM_WRAPPERS.register_module(name='OptimWrapper')
class WatchedOptimWrapper(WatchedMixin, OptimWrapper):
    """See :class:`WatchedMixin`."""


@OPTIM_WRAPPERS.register_module(name='AmpOptimWrapper')
class WatchedAmpOptimWrapper(WatchedMixin, AmpOptimWrapper):
    """See :class:`WatchedMixin`; and mixed precision on a CPU too, in bfloat16, whose range needs no loss scale.

    Args:
        loss_scale: As mmengine's; of no effect on a CPU.
        dtype: 'float16' or 'bfloat16'; by default fp16 on a GPU and bf16 on a CPU.
        use_fsdp: As mmengine's.
        kwargs: As of :class:`OptimWrapper`.

    Raises:
        ValueError: fp16 on a CPU.
    """

    def __init__(self, loss_scale='dynamic', dtype: str | torch.dtype | None = None, use_fsdp=False, **kwargs) -> None:
        if get_device() != 'cpu':
            super().__init__(loss_scale, dtype, use_fsdp, **kwargs)
            return
        names = {None: 'bf16', 'bfloat16': 'bf16', 'float16': 'fp16'}
        check_dtype(names.get(str(dtype).removeprefix('torch.') if dtype else None, str(dtype)), 'cpu')
        OptimWrapper.__init__(self, **kwargs)
        self.loss_scaler, self._scale_update_param = torch.amp.GradScaler('cpu', enabled=False), None
        self.cast_dtype = torch.bfloat16

    def load_state_dict(self, state_dict: dict) -> None:
        """As mmengine's; a loss scale that was never used is none, and starts anew on a GPU."""
        if not state_dict.get('loss_scaler', True):
            state_dict.pop('loss_scaler')
        super().load_state_dict(state_dict)
