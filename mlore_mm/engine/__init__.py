"""The runner and the hooks."""

from .hooks import (
    BroadcastBuffersHook,
    MultiTaskVisualizationHook,
    PreemptionHook,
    ProgressHook,
    SafeCheckpointHook,
    SeedHook,
    TaskOrderHook,
)
from .runner import MultiTaskRunner

__all__ = [
    'BroadcastBuffersHook',
    'MultiTaskRunner',
    'MultiTaskVisualizationHook',
    'PreemptionHook',
    'ProgressHook',
    'SafeCheckpointHook',
    'SeedHook',
    'TaskOrderHook',
]
