"""The runner and the hooks."""

from .hooks import MultiTaskVisualizationHook, TaskOrderHook
from .runner import MultiTaskRunner

__all__ = ['MultiTaskRunner', 'MultiTaskVisualizationHook', 'TaskOrderHook']
