"""How the label files of one task become an array: one small registered class per kind of file or rule."""

from .base import LabelReader
from .disparity import DisparityReader
from .mat import ContextEdgeReader, ContextNormalsReader, HumanPartsReader
from .numeric import NpyReader, ScaledReader, VectorReader
from .png_maps import IdMapReader, LabelBoundaryReader, MaskReader
from .ranged import ChannelsReader, RangeReader

__all__ = [
    'ChannelsReader',
    'ContextEdgeReader',
    'ContextNormalsReader',
    'DisparityReader',
    'HumanPartsReader',
    'IdMapReader',
    'LabelBoundaryReader',
    'LabelReader',
    'MaskReader',
    'NpyReader',
    'RangeReader',
    'ScaledReader',
    'VectorReader',
]
