"""The runners, the hooks, and who gets optimized."""

from .flexible_runner import MultiTaskFlexibleRunner
from .fsdp_strategy import MultiTaskFSDPStrategy
from .hooks import *  # noqa: F403
from .optim_wrapper_constructor import TrainableOptimWrapperConstructor
from .runner import MultiTaskRunner
from .task_runner import TaskRunnerMixin, complete_save_best

__all__ = [
    'MultiTaskFSDPStrategy',
    'MultiTaskFlexibleRunner',
    'MultiTaskRunner',
    'TaskRunnerMixin',
    'TrainableOptimWrapperConstructor',
    'complete_save_best',
]
