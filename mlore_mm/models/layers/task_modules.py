"""One module per task, stored under the task's name and computed for several tasks at once.

Maps of several tasks travel as one tensor (T, B, C, H, W). Weights stay separate modules in a ModuleDict, so that
checkpoints, subsets and extraction of single tasks are plain, and are stacked only for the time of a call.
"""

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor, nn


class TaskModules(nn.ModuleDict):
    """A ModuleDict with one module per task, built by ``make()``."""

    def __init__(self, tasks: Sequence[str], make: Callable[[], nn.Module]) -> None:
        super().__init__({task: make() for task in tasks})

    def stack(self, tasks: Sequence[str], parameter: str) -> Tensor:
        """The named parameter of the named tasks, (T, ...)."""
        return torch.stack([getattr(self[task], parameter) for task in tasks])

    @property
    def dtype(self) -> torch.dtype:
        """Type of the weights."""
        return next(self.parameters()).dtype

    def each(self, tasks: Sequence[str], x: Tensor) -> Tensor:
        """Every task's module on its own (B, C, H, W) slice of (T, B, C, H, W)."""
        return torch.stack([self[task](x[i]) for i, task in enumerate(tasks)])


class TaskConv1x1(TaskModules):
    """A 1x1 convolution per task as one batched matrix product: (T, B, C, H, W) to (T, B, C', H, W)."""

    def __init__(self, tasks: Sequence[str], in_channels: int, out_channels: int) -> None:
        super().__init__(tasks, lambda: nn.Conv2d(in_channels, out_channels, 1))

    def forward(self, x: Tensor, tasks: Sequence[str]) -> Tensor:
        """``x`` is (T, B, C, H, W), or (1, B, C, H, W) where all tasks share it."""
        weight = self.stack(tasks, 'weight').flatten(2)
        bias = self.stack(tasks, 'bias')
        if len(x) == 1 and len(tasks) > 1:  # shared input: one wide product
            out = weight.flatten(0, 1) @ x[0].flatten(2) + bias.flatten()[:, None]
            return out.unflatten(1, (len(tasks), -1)).unflatten(3, x.shape[3:]).transpose(0, 1).contiguous()
        out = weight[:, None] @ x.flatten(3) + bias[:, None, :, None]
        return out.unflatten(3, x.shape[3:])


def drop_names(module: nn.Module, names: Iterable[str]) -> None:
    """Let go of everything below ``module`` that is stored under one of the tasks' names, in place."""
    for part in list(module.modules()):
        if isinstance(part, nn.ModuleDict | nn.ParameterDict):
            for name in names:
                if name in part:
                    del part[name]
