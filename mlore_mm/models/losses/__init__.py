"""Losses per task, their weighting, the criterion that puts them together, and surgery on their gradients."""

from .aggregators import AlignedMTL, PCGrad
from .balanced_bce import BalancedBCELoss
from .berhu import BerHuLoss
from .cosine_normals import CosineNormalsLoss, NormalsFromDepthLoss
from .criterion import MultiTaskCriterion
from .cross_entropy import BalancedCrossEntropyLoss, PixelCrossEntropyLoss, WeightedCrossEntropyLoss
from .expert_share import ExpertShareLoss
from .grad_norm import GradNormWeighting
from .gradient_surgery import GradientSurgery
from .groups import AuxiliaryGroup, LossContext
from .importance_load import ImportanceLoadLoss
from .learned_scale import LearnedScaleWeighting
from .load_balance import LoadBalanceLoss
from .mmseg_loss import MMSegLoss
from .mod_squad_router import ModSquadRouterLoss
from .mod_squad_tasks import DirectionLoss, MaskedMSELoss
from .objective_weighting import FAMOWeighting, GLSWeighting, STCHWeighting
from .reduction import PER_PROCESS, Reduction, masked_mean
from .regression import MaskedL1Loss, NormalsL1Loss
from .torchjd_surgery import TorchJDSurgery
from .weighting import DynamicWeightAverage, FixedWeighting, RandomLossWeighting, UncertaintyWeighting

__all__ = [
    'ExpertShareLoss',
    'AlignedMTL',
    'AuxiliaryGroup',
    'BalancedBCELoss',
    'BalancedCrossEntropyLoss',
    'BerHuLoss',
    'CosineNormalsLoss',
    'DirectionLoss',
    'DynamicWeightAverage',
    'FAMOWeighting',
    'FixedWeighting',
    'GLSWeighting',
    'GradNormWeighting',
    'GradientSurgery',
    'ImportanceLoadLoss',
    'LearnedScaleWeighting',
    'LoadBalanceLoss',
    'LossContext',
    'MMSegLoss',
    'MaskedL1Loss',
    'MaskedMSELoss',
    'ModSquadRouterLoss',
    'MultiTaskCriterion',
    'NormalsFromDepthLoss',
    'NormalsL1Loss',
    'PCGrad',
    'PER_PROCESS',
    'PixelCrossEntropyLoss',
    'RandomLossWeighting',
    'STCHWeighting',
    'Reduction',
    'TorchJDSurgery',
    'UncertaintyWeighting',
    'WeightedCrossEntropyLoss',
    'masked_mean',
]
