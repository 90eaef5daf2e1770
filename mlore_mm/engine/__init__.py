"""Runners, loops, hooks, checkpoints and optimizer wrappers."""

from .checkpoints import CheckedPretrainedInit
from .epoch_loop import ResumableEpochLoop
from .flexible_runner import MultiTaskFlexibleRunner
from .fsdp_strategy import MultiTaskFSDPStrategy
from .hooks import *  # noqa: F403
from .optim_wrapper_constructor import TrainableOptimWrapperConstructor
from .runner import MultiTaskRunner
from .task_runner import TaskRunnerMixin, complete_save_best
from .test_loop import TimedTestLoop
from .watched_optim_wrapper import WatchedAmpOptimWrapper, WatchedOptimWrapper

__all__ = [
    'CheckedPretrainedInit',
    'MultiTaskFSDPStrategy',
    'MultiTaskFlexibleRunner',
    'MultiTaskRunner',
    'ResumableEpochLoop',
    'TaskRunnerMixin',
    'TimedTestLoop',
    'TrainableOptimWrapperConstructor',
    'WatchedAmpOptimWrapper',
    'WatchedOptimWrapper',
    'complete_save_best',
]
