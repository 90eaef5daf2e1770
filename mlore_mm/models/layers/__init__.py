"""The boxes of the methods' figures, one file each."""

from .cross_task_attention import CrossTaskAttention
from .distillation import Distillation
from .feature_propagation import FeaturePropagation
from .initial_prediction import InitialPrediction
from .invpt_stage import EnlargingConvs, InvPTStage
from .level_fusion import LevelFusion, LevelFusionHead
from .low_rank_expert import LowRankExpert, LowRankExpertBank
from .mlore_block import MLoREBlock
from .prediction_head import PredictionHead
from .pyramid_sum import PyramidSum
from .residual_blocks import BasicBlock, BottleneckBlock
from .squeeze_excite import SqueezeExcite
from .stage_fusion import StageFusion
from .task_modules import TaskConv1x1, TaskModules
from .task_router import TaskRouter

__all__ = [
    'BasicBlock',
    'BottleneckBlock',
    'CrossTaskAttention',
    'Distillation',
    'EnlargingConvs',
    'FeaturePropagation',
    'InitialPrediction',
    'InvPTStage',
    'LevelFusion',
    'LevelFusionHead',
    'LowRankExpert',
    'LowRankExpertBank',
    'MLoREBlock',
    'PredictionHead',
    'PyramidSum',
    'SqueezeExcite',
    'StageFusion',
    'TaskConv1x1',
    'TaskModules',
    'TaskRouter',
]
