"""Thin a mask to lines one pixel wide, as the published edge labels of PASCAL-Context are."""

import cv2
import numpy as np

from mlore_mm.utils.thinning_rule import DELETABLE

_KEEP = 1 - DELETABLE
# Weight of each neighbour in the 8-bit code of a pixel: bit 0 is right, then counter-clockwise.
_NEIGHBOUR_WEIGHTS = np.array([[8, 4, 2], [16, 0, 1], [32, 64, 128]], dtype=np.float32)


def thin(mask: np.ndarray) -> np.ndarray:
    """Thin to convergence; pixels outside the image count as 0.

    Source: see :mod:`mlore_mm.utils.thinning_rule`; here with filters and look-up tables.

    Args:
        mask: (H, W), non-zero is set.

    Returns:
        (H, W) uint8 of 0 and 1, a subset of ``mask``.
    """
    alive = (np.asarray(mask) != 0).astype(np.uint8)
    before = -1
    while before != (before := int(cv2.countNonZero(alive))):
        for keep in _KEEP:
            codes = cv2.filter2D(alive, cv2.CV_8U, _NEIGHBOUR_WEIGHTS, borderType=cv2.BORDER_CONSTANT)
            alive = cv2.LUT(codes, keep) & alive
    return alive
