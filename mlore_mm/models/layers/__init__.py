"""The boxes of the methods' figures, one file each."""

from .low_rank_expert import LowRankExpert, LowRankExpertBank
from .mlore_block import MLoREBlock
from .prediction_head import PredictionHead
from .stage_fusion import StageFusion
from .task_modules import TaskConv1x1, TaskModules
from .task_router import TaskRouter

__all__ = [
    'LowRankExpert',
    'LowRankExpertBank',
    'MLoREBlock',
    'PredictionHead',
    'StageFusion',
    'TaskConv1x1',
    'TaskModules',
    'TaskRouter',
]
