"""The boxes of the methods' figures, one file each."""

from .distillation import Distillation
from .feature_propagation import FeaturePropagation
from .initial_prediction import InitialPrediction
from .level_fusion import LevelFusion, LevelFusionHead
from .low_rank_expert import LowRankExpert, LowRankExpertBank
from .mlore_block import MLoREBlock
from .prediction_head import PredictionHead
from .residual_blocks import BasicBlock, BottleneckBlock
from .squeeze_excite import SqueezeExcite
from .stage_fusion import StageFusion
from .task_modules import TaskConv1x1, TaskModules
from .task_router import TaskRouter

__all__ = [
    'BasicBlock',
    'BottleneckBlock',
    'Distillation',
    'FeaturePropagation',
    'InitialPrediction',
    'LevelFusion',
    'LevelFusionHead',
    'LowRankExpert',
    'LowRankExpertBank',
    'MLoREBlock',
    'PredictionHead',
    'SqueezeExcite',
    'StageFusion',
    'TaskConv1x1',
    'TaskModules',
    'TaskRouter',
]
