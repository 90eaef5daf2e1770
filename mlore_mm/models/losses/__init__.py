"""Losses per task, their weighting, the criterion that puts them together, and surgery on their gradients."""

from .balanced_bce import BalancedBCELoss
from .berhu import BerHuLoss
from .cosine_normals import CosineNormalsLoss, NormalsFromDepthLoss
from .criterion import MultiTaskCriterion
from .cross_entropy import BalancedCrossEntropyLoss, PixelCrossEntropyLoss, WeightedCrossEntropyLoss
from .expert_share import ExpertShareLoss
from .gradient_surgery import AlignedMTL, GradientSurgery, PCGrad
from .groups import AuxiliaryGroup, LossContext
from .importance_load import ImportanceLoadLoss
from .learned_scale import LearnedScaleWeighting
from .load_balance import LoadBalanceLoss
from .mmseg_loss import MMSegLoss
from .mod_squad_router import ModSquadRouterLoss
from .reduction import PER_PROCESS, Reduction, masked_mean
from .regression import MaskedL1Loss, NormalsL1Loss
from .weighting import DynamicWeightAverage, FixedWeighting, RandomLossWeighting, UncertaintyWeighting

__all__ = [
    'ExpertShareLoss',
    'AlignedMTL',
    'AuxiliaryGroup',
    'BalancedBCELoss',
    'BalancedCrossEntropyLoss',
    'BerHuLoss',
    'CosineNormalsLoss',
    'DynamicWeightAverage',
    'FixedWeighting',
    'GradientSurgery',
    'ImportanceLoadLoss',
    'LearnedScaleWeighting',
    'LoadBalanceLoss',
    'LossContext',
    'MMSegLoss',
    'MaskedL1Loss',
    'ModSquadRouterLoss',
    'MultiTaskCriterion',
    'NormalsFromDepthLoss',
    'NormalsL1Loss',
    'PCGrad',
    'PER_PROCESS',
    'PixelCrossEntropyLoss',
    'RandomLossWeighting',
    'Reduction',
    'UncertaintyWeighting',
    'WeightedCrossEntropyLoss',
    'masked_mean',
]
