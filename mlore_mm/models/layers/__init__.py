"""Layers of the decoders and encoders: a file for each box of the papers' figures."""

from .affinity_decoder import AffinityDecoder
from .aspp import ASPP
from .correlation_attention import CorrelationAttention
from .cross_task_attention import CrossTaskAttention
from .cross_task_exchange import CrossTaskExchange
from .deformable_mixer import DeformableMixer, DeformablePointConv
from .distillation import Distillation
from .feature_propagation import FeaturePropagation
from .fine_grained_mixture import FineGrainedMixture, GlobalMixture
from .folded_mixture import FoldedMixture
from .gated_conv import GatedConv
from .initial_prediction import InitialPrediction
from .invpt_stage import EnlargingConvs, InvPTStage
from .level_fusion import LevelFusion, LevelFusionHead
from .level_norm import LevelNorm
from .low_rank_expert import LowRankExpert, LowRankExpertBank
from .low_rank_mixture import LowRankMixture
from .mixture_attention import ExpertUsage, MixtureAttention, WideAttention
from .mlore_block import MLoREBlock
from .pad_bank import PadExpertReduce
from .pad_conv import PadConv2d
from .pad_experts import PadExpertLinear, PadMoELinear
from .partial_weight import PartialWeight
from .prediction_head import PredictionHead
from .pup_decoder import PUPDecoder
from .pyramid_sum import PyramidSum
from .residual_blocks import BasicBlock, BottleneckBlock
from .section_decoder import SectionDecoder
from .squeeze_excite import SqueezeExcite
from .stage_exchange import NDDR, CrossStitch
from .stage_fusion import StageFusion
from .task_attention import TaskAttention
from .task_modules import TaskConv1x1, TaskModules
from .task_router import TaskRouter
from .token_mixture import ExpertLinear, TokenMixture
from .token_router import ConditionedRouter, MultiGateRouter, TaskFeatures
from .wide_mixture import ChosenMixture, WideMixture

__all__ = [
    'NDDR',
    'CrossStitch',
    'DeformableMixer',
    'DeformablePointConv',
    'FineGrainedMixture',
    'GlobalMixture',
    'ASPP',
    'AffinityDecoder',
    'BasicBlock',
    'BottleneckBlock',
    'ConditionedRouter',
    'CorrelationAttention',
    'CrossTaskAttention',
    'CrossTaskExchange',
    'Distillation',
    'EnlargingConvs',
    'ExpertLinear',
    'ExpertUsage',
    'ChosenMixture',
    'FeaturePropagation',
    'FoldedMixture',
    'GatedConv',
    'InitialPrediction',
    'InvPTStage',
    'LevelFusion',
    'LevelFusionHead',
    'LevelNorm',
    'LowRankExpert',
    'LowRankExpertBank',
    'LowRankMixture',
    'MLoREBlock',
    'MixtureAttention',
    'MultiGateRouter',
    'PUPDecoder',
    'PadConv2d',
    'PadExpertLinear',
    'PadExpertReduce',
    'PadMoELinear',
    'PartialWeight',
    'PredictionHead',
    'PyramidSum',
    'SectionDecoder',
    'SqueezeExcite',
    'StageFusion',
    'TaskAttention',
    'TaskConv1x1',
    'TaskFeatures',
    'TaskModules',
    'TaskRouter',
    'TokenMixture',
    'WideAttention',
    'WideMixture',
]
