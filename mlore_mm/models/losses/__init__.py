"""Losses per task, their weighting, and the criterion that puts them together."""

from .balanced_bce import BalancedBCELoss
from .criterion import MultiTaskCriterion
from .cross_entropy import BalancedCrossEntropyLoss, PixelCrossEntropyLoss
from .load_balance import LoadBalanceLoss
from .regression import MaskedL1Loss, NormalsL1Loss
from .weighting import DynamicWeightAverage, FixedWeighting, RandomLossWeighting, UncertaintyWeighting

__all__ = [
    'BalancedBCELoss',
    'BalancedCrossEntropyLoss',
    'DynamicWeightAverage',
    'FixedWeighting',
    'LoadBalanceLoss',
    'MaskedL1Loss',
    'MultiTaskCriterion',
    'NormalsL1Loss',
    'PixelCrossEntropyLoss',
    'RandomLossWeighting',
    'UncertaintyWeighting',
]
