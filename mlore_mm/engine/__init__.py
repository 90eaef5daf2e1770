"""The runner, the hooks, and who gets optimized."""

from .hooks import *  # noqa: F403
from .optim_wrapper_constructor import TrainableOptimWrapperConstructor
from .runner import MultiTaskRunner, complete_save_best

__all__ = ['MultiTaskRunner', 'TrainableOptimWrapperConstructor', 'complete_save_best']
