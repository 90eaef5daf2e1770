"""Decoders: features of one backbone in, logits of every task out. One file per method."""

from .mlore_head import MLoREDecodeHead
from .multi_task_fcn_head import MultiTaskFCNHead
from .per_task_head import PerTaskHead

__all__ = ['MLoREDecodeHead', 'MultiTaskFCNHead', 'PerTaskHead']
