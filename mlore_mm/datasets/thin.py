"""Thin a mask to lines one pixel wide, as the published edge labels of PASCAL-Context are."""

from functools import cache

import cv2
import numpy as np

# Weight of each neighbour in the 8-bit code of a pixel: bit 0 is right, then counter-clockwise.
_NEIGHBOUR_WEIGHTS = np.array([[8, 4, 2], [16, 0, 1], [32, 64, 128]], dtype=np.float32)


def thin(mask: np.ndarray) -> np.ndarray:
    """Thin to convergence; pixels outside the image count as 0.

    Source: Guo and Hall, "Parallel thinning with two-subiteration algorithms", Communications of the ACM, 1989; equal
    to ``skimage.morphology.thin`` and MATLAB's ``bwmorph(mask, 'thin', inf)``, here with filters and look-up tables.

    Args:
        mask: (H, W), non-zero is set.

    Returns:
        (H, W) uint8 of 0 and 1, a subset of ``mask``.
    """
    alive = (np.asarray(mask) != 0).astype(np.uint8)
    before = -1
    while before != (before := int(cv2.countNonZero(alive))):
        for keep in _keep_tables():
            codes = cv2.filter2D(alive, cv2.CV_8U, _NEIGHBOUR_WEIGHTS, borderType=cv2.BORDER_CONSTANT)
            alive = cv2.LUT(codes, keep) & alive
    return alive


@cache
def _keep_tables() -> tuple[np.ndarray, np.ndarray]:
    """For sub-pass one and two, (256,) uint8: 1 where a pixel with this neighbour code stays."""
    tables = np.ones((2, 256), dtype=np.uint8)
    for code in range(256):
        right, up_right, up, up_left, left, down_left, down, down_right = n = [bool(code >> i & 1) for i in range(8)]
        corners, following = n[1::2], n[2::2] + n[:1]
        crossings = sum(not s and (c or f) for s, c, f in zip(n[0::2], corners, following, strict=True))
        before = sum(s or c for s, c in zip(n[0::2], corners, strict=True))
        after = sum(c or f for c, f in zip(corners, following, strict=True))
        if crossings == 1 and min(before, after) in (2, 3):
            tables[0, code] = (up_right or up or not down_right) and right
            tables[1, code] = (down_left or down or not up_left) and left
    return tables[0], tables[1]
