"""The boxes of the method's figure, one file each."""

from .all_reduce import num_processes, sum_over_processes
from .low_rank_expert import LowRankExpert, LowRankExpertBank
from .mlore_block import MLoREBlock
from .prediction_head import PredictionHead
from .router_trace import RouterRecord, RouterTrace, record_routing, trace_routing
from .stage_fusion import StageFusion
from .sync_batch_norm import PortableSyncBatchNorm
from .task_modules import TaskConv1x1, TaskModules
from .task_router import TaskRouter
from .top_k_gate import Routing, TopKGate
from .upsampled_conv import UpsampledConv3x3

__all__ = [
    'LowRankExpert',
    'LowRankExpertBank',
    'MLoREBlock',
    'PortableSyncBatchNorm',
    'PredictionHead',
    'RouterRecord',
    'RouterTrace',
    'Routing',
    'StageFusion',
    'TaskConv1x1',
    'TaskModules',
    'TaskRouter',
    'TopKGate',
    'UpsampledConv3x3',
    'num_processes',
    'record_routing',
    'sum_over_processes',
    'trace_routing',
]
