"""Edge strength: keep the ridges of a boundary prediction, remove what lies beside them.

Source: the SEISM protocol, which takes this stage from Dollar and Zitnick's structured edge detector. Arithmetic is in
single precision, as there; double precision would keep a few other pixels.
"""

import numpy as np

from mlore_mm.evaluation.functional.boundary.compiled import compiled
from mlore_mm.evaluation.functional.boundary.smoothing import smooth

MARGIN = np.float32(1.01)
BORDER = 5


def edge_strength(prediction: np.ndarray) -> np.ndarray:
    """Thinned boundary strength of an 8-bit prediction.

    Args:
        prediction: (H, W) uint8, boundary strength 0..255.

    Returns:
        (H, W) float32 in 0..1: the prediction divided by 255 on its ridges, 0 elsewhere, fading towards the border.
    """
    if prediction.ndim != 2 or prediction.dtype != np.uint8 or prediction.size == 0:
        raise ValueError(
            f'A boundary prediction must be a non-empty (H, W) uint8 array, but got shape '
            f'{prediction.shape} and type {prediction.dtype}. Round 255 * probability to uint8.'
        )
    strength = prediction.astype(np.float32) / np.float32(255)
    ridges = suppress_non_maxima(strength, orientation(smooth(strength)))
    return fade_border(ridges)


def gradient(image: np.ndarray, axis: int) -> np.ndarray:
    """Half the central difference inside, the one-sided difference at both ends, 0 along an axis of one pixel."""
    if image.shape[axis] == 1:
        return np.zeros_like(image)
    return np.gradient(image, axis=axis)


def orientation(smoothed: np.ndarray) -> np.ndarray:
    """Direction across the edge in radians, 0..pi, from second derivatives; (H, W) float32 (x right, y down)."""
    along_x, along_y = gradient(smoothed, axis=1), gradient(smoothed, axis=0)
    xx = gradient(along_x, axis=1)
    xy, yy = gradient(along_y, axis=1), gradient(along_y, axis=0)
    theta = np.arctan(yy * np.sign(-xy) / (xx + np.float32(1e-5)))
    return np.mod(theta, np.float32(np.pi))


def suppress_non_maxima(strength: np.ndarray, theta: np.ndarray) -> np.ndarray:
    """Set a pixel to 0 where it is more than 1 % weaker than a point one pixel away across the edge.

    Args:
        strength: (H, W) float32, not smoothed.
        theta: (H, W) float32, see :func:`orientation`.
    """
    return _suppress(np.ascontiguousarray(strength), np.cos(theta), np.sin(theta), MARGIN)


def fade_border(strength: np.ndarray) -> np.ndarray:
    """Multiply the rows and columns at distance d < 5 from the border by d / 5 (less than 5 in tiny images)."""
    height, width = strength.shape
    size = min(BORDER, width // 2, height // 2)
    faded = strength.copy()
    for distance in range(size):
        weight = np.float32(distance) / np.float32(size)
        faded[:, [distance, width - 1 - distance]] *= weight
    for distance in range(size):
        weight = np.float32(distance) / np.float32(size)
        faded[[distance, height - 1 - distance], :] *= weight
    return faded


@compiled
def _suppress(strength, cos, sin, margin):
    height, width = strength.shape
    ridges = np.zeros((height, width), dtype=np.float32)
    for y in range(height):
        for x in range(width):
            value = strength[y, x]
            if value == 0:
                continue
            dx, dy = cos[y, x], sin[y, x]
            fx, fy = np.float32(x), np.float32(y)
            enlarged = value * margin
            if enlarged < _interpolate(strength, fx + dx, fy + dy):
                continue
            if enlarged < _interpolate(strength, fx - dx, fy - dy):
                continue
            ridges[y, x] = value
    return ridges


@compiled
def _interpolate(image, x, y):
    """Bilinear interpolation, in single precision; a point outside is first moved to the border."""
    height, width = image.shape
    x = np.float32(max(0.0, min(x, width - 1.001)))
    y = np.float32(max(0.0, min(y, height - 1.001)))
    left, top = int(x), int(y)
    right, bottom = min(left + 1, width - 1), min(top + 1, height - 1)
    to_left, to_top = x - np.float32(left), y - np.float32(top)
    to_right, to_bottom = np.float32(1) - to_left, np.float32(1) - to_top
    return (
        image[top, left] * to_right * to_bottom
        + image[top, right] * to_left * to_bottom
        + image[bottom, left] * to_right * to_top
        + image[bottom, right] * to_left * to_top
    )
