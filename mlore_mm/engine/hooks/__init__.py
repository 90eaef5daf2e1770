"""Hooks of the training, validation and test loops."""

from .broadcast_buffers_hook import BroadcastBuffersHook
from .progress_hook import ProgressHook
from .task_order_hook import TaskOrderHook
from .visualization_hook import MultiTaskVisualizationHook

__all__ = ['BroadcastBuffersHook', 'MultiTaskVisualizationHook', 'ProgressHook', 'TaskOrderHook']
