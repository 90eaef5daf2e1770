"""Batch statistics over all processes, on any device and over any backend."""

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from mlore_mm.models.ops.all_reduce import sum_over_processes
from mlore_mm.registry import MODELS


@MODELS.register_module()
class PortableSyncBatchNorm(_BatchNorm):
    """Batch norm with the statistics of the batches of all processes.

    PyTorch's ``SyncBatchNorm`` runs on accelerators only; this one runs wherever ``torch.distributed`` does, with three
    all-reduces in each direction. Weights, buffers and their names are those of an ordinary batch norm. Processes may
    have different numbers of samples. In evaluation, or in one process, it is an ordinary batch norm.
    """

    def _check_input_dim(self, x: Tensor) -> None:
        if x.dim() < 2:
            raise ValueError(f'A batch norm needs (B, C, ...), but got an input of shape {tuple(x.shape)}.')

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or not dist.is_initialized() or dist.get_world_size() == 1:
            return super().forward(x)
        self._check_input_dim(x)
        axes = [axis for axis in range(x.dim()) if axis != 1]
        shape = [1, -1] + [1] * (x.dim() - 2)
        values = x if x.dtype == torch.float64 else x.float()
        count = sum_over_processes(x.new_tensor(x.numel() / x.shape[1], dtype=torch.float64))
        mean = sum_over_processes(values.sum(axes)) / count.to(values.dtype)
        centred = values - mean.view(shape)
        # From the centred values, because the difference of two large sums would lose digits.
        var = sum_over_processes(centred.square().sum(axes)) / count.to(values.dtype)
        self._track(mean.detach(), var.detach(), float(count))
        y = centred * (var + self.eps).rsqrt().view(shape)
        if self.affine:
            y = y * self.weight.view(shape) + self.bias.view(shape)
        return y.to(x.dtype)

    @torch.no_grad()
    def _track(self, mean: Tensor, var: Tensor, count: float) -> None:
        if not self.track_running_stats:
            return
        self.num_batches_tracked += 1
        momentum = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        unbiased = var * (count / max(count - 1, 1))
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), momentum)
        self.running_var.lerp_(unbiased.to(self.running_var.dtype), momentum)

    @classmethod
    def convert(cls, module: nn.Module) -> nn.Module:
        """``module`` with every batch norm in it replaced by one of this kind with the same tensors."""
        for name, child in module.named_children():
            setattr(module, name, cls.convert(child))
        if not isinstance(module, _BatchNorm) or isinstance(module, cls):
            return module
        norm = cls(module.num_features, module.eps, module.momentum, module.affine, module.track_running_stats)
        norm._parameters, norm._buffers = module._parameters, module._buffers  # the very tensors, frozen ones as well
        return norm.train(module.training)
