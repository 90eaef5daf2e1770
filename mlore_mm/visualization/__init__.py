"""Pictures of labels and predictions."""

from .multi_task_visualizer import MultiTaskVisualizer, draw_overlays, draw_tasks
from .panels import Bar, Cell, Chips, Column, compose
from .wandb_backend import WandbVisBackend

__all__ = [
    'Bar',
    'Cell',
    'Chips',
    'Column',
    'MultiTaskVisualizer',
    'WandbVisBackend',
    'compose',
    'draw_overlays',
    'draw_tasks',
]
