"""Hooks of the training, validation and test loops."""

from .broadcast_buffers_hook import BroadcastBuffersHook
from .feature_cache_hook import FeatureCacheHook
from .gradient_conflict_hook import GradientConflictHook
from .label_check_hook import LabelCheckHook
from .mode_partition_hook import IterativeModePartitionHook, TemperatureAnnealHook
from .nonfinite_hook import NonFiniteHook
from .preemption_hook import PreemptionHook
from .progress_hook import ProgressHook
from .routing_hook import RoutingHook
from .run_clock_hook import RunClockHook
from .safe_checkpoint_hook import SafeCheckpointHook
from .seed_hook import SeedHook
from .task_order_hook import TaskOrderHook
from .visualization_hook import MultiTaskVisualizationHook

__all__ = [
    'BroadcastBuffersHook',
    'FeatureCacheHook',
    'GradientConflictHook',
    'IterativeModePartitionHook',
    'LabelCheckHook',
    'MultiTaskVisualizationHook',
    'NonFiniteHook',
    'PreemptionHook',
    'ProgressHook',
    'RoutingHook',
    'RunClockHook',
    'SafeCheckpointHook',
    'SeedHook',
    'TaskOrderHook',
    'TemperatureAnnealHook',
]
