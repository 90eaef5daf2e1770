"""The runner and the hooks."""

from .hooks import BroadcastBuffersHook, MultiTaskVisualizationHook, ProgressHook, TaskOrderHook
from .runner import MultiTaskRunner

__all__ = ['BroadcastBuffersHook', 'MultiTaskRunner', 'MultiTaskVisualizationHook', 'ProgressHook', 'TaskOrderHook']
