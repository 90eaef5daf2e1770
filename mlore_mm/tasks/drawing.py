"""Colours shared by the tasks' ``draw`` methods."""

from functools import cache

import matplotlib
import numpy as np

# RGB of the 21 classes as PASCAL VOC draws them; longer palettes follow the same bit-interleaving rule.


@cache
def voc_palette(num_classes: int) -> np.ndarray:
    """(num_classes, 3) uint8: the PASCAL VOC colour map (VOC development kit), defined for up to 256 ids."""
    palette = np.zeros((num_classes, 3), dtype=np.uint8)
    for index in range(num_classes):
        for bit in range(8):
            for channel in range(3):
                palette[index, channel] |= ((index >> (3 * bit + channel)) & 1) << (7 - bit)
    return palette


def draw_ids(ids: np.ndarray, palette: np.ndarray) -> np.ndarray:
    """(H, W) class ids to RGB; ids outside the palette (the ignore value) are black."""
    known = (ids >= 0) & (ids < len(palette))
    return np.where(known[..., None], palette[np.where(known, ids, 0).astype(np.int64)], 0).astype(np.uint8)


def draw_scalar(values: np.ndarray, low: float, high: float, colormap: str) -> np.ndarray:
    """(H, W) numbers to RGB through a matplotlib colormap, linear from ``low`` to ``high``."""
    share = np.clip((np.nan_to_num(values, nan=low) - low) / max(high - low, 1e-12), 0, 1)
    return (matplotlib.colormaps[colormap](share)[..., :3] * 255 + 0.5).astype(np.uint8)


def probability_to_bytes(values: np.ndarray) -> np.ndarray:
    """Probabilities to 0..255, uint8; NaN to 0."""
    return np.rint(np.clip(np.nan_to_num(values), 0, 1) * 255).astype(np.uint8)
