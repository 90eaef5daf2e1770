"""Metrics of all tasks, and the evaluator that runs them together."""

from . import metrics
from .multi_task_evaluator import MultiTaskEvaluator

__all__ = ['MultiTaskEvaluator', 'metrics']
