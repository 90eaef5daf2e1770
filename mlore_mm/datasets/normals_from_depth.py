"""Surface normals of a depth map, by a plane through the neighbourhood of each pixel."""

import cv2
import numpy as np


def normals_from_depth(
    depth: np.ndarray,
    intrinsics: tuple[float, float, float, float],
    window: int = 9,
    step: float = 0.02,
) -> np.ndarray:
    """(H, W) metres, 0 without a reading, to (H, W, 3) float32 unit vectors, zero where there is none.

    On a plane, inverse depth is linear in the pixel: 1/z = a u + b v + c. So a, b and c follow by least squares over a
    square window, and the normal of the plane with them. x points right, y up, z towards the camera.

    Args:
        intrinsics: fx, fy, cx, cy in pixels of this map.
        window: Pixels on a side, odd.
        step: Where the plane misses inverse depth by more than this share of it, root mean square over the window,
            there is a step or an edge and no normal; nor where the window holds a pixel without a reading.
    """
    fx, fy, cx, cy = intrinsics
    valid = depth > 0
    inverse = np.where(valid, 1 / np.where(valid, depth, 1), 0)
    half = window // 2
    along = np.arange(-half, half + 1, dtype=np.float64)
    spread = window * (along**2).sum()
    ones = np.ones(window)
    slope_u = cv2.sepFilter2D(inverse, cv2.CV_64F, along, ones, borderType=cv2.BORDER_REPLICATE) / spread
    slope_v = cv2.sepFilter2D(inverse, cv2.CV_64F, ones, along, borderType=cv2.BORDER_REPLICATE) / spread
    middle = cv2.boxFilter(inverse, cv2.CV_64F, (window, window), borderType=cv2.BORDER_REPLICATE)
    v, u = np.mgrid[: depth.shape[0], : depth.shape[1]]
    normals = np.dstack([slope_u * fx, slope_v * fy, middle - slope_u * (u - cx) - slope_v * (v - cy)])
    # n P = d > 0 for these n, so they point away from the camera, and in an image y points down and z away from it.
    normals *= (-1, 1, 1)
    normals /= np.maximum(np.linalg.norm(normals, axis=-1, keepdims=True), 1e-12)
    whole = cv2.erode(valid.astype(np.uint8), np.ones((window, window)), borderValue=0) > 0
    squares = cv2.boxFilter(inverse**2, cv2.CV_64F, (window, window), borderType=cv2.BORDER_REPLICATE)
    of_plane = middle**2 + (slope_u**2 + slope_v**2) * spread / window**2
    off = np.sqrt(np.maximum(squares - of_plane, 0))  # root mean square of what the plane leaves over
    normals[~whole | (off > step * middle)] = 0
    return normals.astype(np.float32)
