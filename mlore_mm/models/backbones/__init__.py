"""Encoders of our own; every backbone of mmseg and mmpretrain works as well, by its scope (``mmseg.ResNet``)."""

from .dilated_resnet import DilatedResNet
from .encoders_in_step import EncodersInStep
from .m3vit import M3ViT
from .mod_squad_vit import ModSquadViT
from .mtan import MTAN
from .stem_resnet import StemResNet
from .task_prompter_vit import TaskPrompterViT
from .timm_backbone import TimmBackbone
from .vit import PlainViT

__all__ = [
    'MTAN',
    'DilatedResNet',
    'EncodersInStep',
    'M3ViT',
    'ModSquadViT',
    'PlainViT',
    'StemResNet',
    'TaskPrompterViT',
    'TimmBackbone',
]
