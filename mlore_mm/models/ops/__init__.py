"""Operations of general use: faster or more memory-efficient forms of ordinary ones with equal results, collectives."""

from .all_reduce import num_processes, sum_over_processes
from .recompute import recompute
from .sync_batch_norm import PortableSyncBatchNorm
from .upsampled_conv import UpsampledConv3x3

__all__ = ['PortableSyncBatchNorm', 'UpsampledConv3x3', 'num_processes', 'recompute', 'sum_over_processes']
