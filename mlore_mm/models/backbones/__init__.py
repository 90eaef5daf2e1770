"""Encoders of our own; every backbone of mmseg and mmpretrain works as well, by its scope (``mmseg.ResNet``)."""

from .m3vit import M3ViT
from .stem_resnet import StemResNet
from .task_prompter_vit import TaskPrompterViT
from .timm_backbone import TimmBackbone
from .vit import PlainViT

__all__ = [
    'M3ViT',
    'PlainViT',
    'StemResNet',
    'TaskPrompterViT',
    'TimmBackbone',
]
