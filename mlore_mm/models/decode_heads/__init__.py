"""Decoders: features of one backbone in, logits of every task out. One file per method."""

from .mlore_head import MLoREDecodeHead
from .multi_task_fcn_head import MultiTaskFCNHead

__all__ = ['MLoREDecodeHead', 'MultiTaskFCNHead']
