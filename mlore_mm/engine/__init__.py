"""The runner and the hooks."""

from .hooks import MultiTaskVisualizationHook, ProgressHook, TaskOrderHook
from .runner import MultiTaskRunner

__all__ = ['MultiTaskRunner', 'MultiTaskVisualizationHook', 'ProgressHook', 'TaskOrderHook']
