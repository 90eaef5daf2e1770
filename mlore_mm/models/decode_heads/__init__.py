"""Decoders: features of one backbone in, logits of every task out. One file per method."""

from .deeplab_head import DeepLabHead
from .densemtl_head import DenseMTLHead
from .fgmoe_head import FGMoEHead
from .invpt_head import InvPTHead
from .mlore_head import MLoREDecodeHead
from .mod_squad_head import ModSquadHead
from .mti_net_head import MTINetHead
from .multi_task_fcn_head import MultiTaskFCNHead
from .pad_net_head import PADNetHead
from .pad_net_plus_head import PADNetPlusHead
from .per_task_head import PerTaskHead
from .pup_head import PUPHead
from .task_prompter_head import TaskPrompterHead

__all__ = [
    'FGMoEHead',
    'DeepLabHead',
    'DenseMTLHead',
    'InvPTHead',
    'MLoREDecodeHead',
    'MTINetHead',
    'ModSquadHead',
    'MultiTaskFCNHead',
    'PADNetHead',
    'PADNetPlusHead',
    'PUPHead',
    'PerTaskHead',
    'TaskPrompterHead',
]
