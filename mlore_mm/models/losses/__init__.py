"""Losses per task, their weighting, the criterion that puts them together, and surgery on their gradients."""

from .balanced_bce import BalancedBCELoss
from .criterion import MultiTaskCriterion
from .cross_entropy import BalancedCrossEntropyLoss, PixelCrossEntropyLoss
from .gradient_surgery import AlignedMTL, GradientSurgery, PCGrad
from .load_balance import LoadBalanceLoss
from .regression import MaskedL1Loss, NormalsL1Loss
from .weighting import DynamicWeightAverage, FixedWeighting, RandomLossWeighting, UncertaintyWeighting

__all__ = [
    'AlignedMTL',
    'BalancedBCELoss',
    'BalancedCrossEntropyLoss',
    'DynamicWeightAverage',
    'FixedWeighting',
    'GradientSurgery',
    'LoadBalanceLoss',
    'MaskedL1Loss',
    'MultiTaskCriterion',
    'NormalsL1Loss',
    'PCGrad',
    'PixelCrossEntropyLoss',
    'RandomLossWeighting',
    'UncertaintyWeighting',
]
