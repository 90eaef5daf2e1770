"""Triangle smoothing of a boundary prediction, the first step towards its orientation.

Source: the SEISM protocol, which takes this filter from Dollar's toolbox. Larger images are filtered by running sums
in single precision, in the order of additions used there: on flat ground the rounding error decides the orientation,
and with the same order the suppression that follows keeps exactly the same pixels.
"""

import numpy as np
from scipy.ndimage import correlate1d

from mlore_mm.evaluation.functional.boundary.compiled import compiled

RADIUS = 4
TRIANGLE = np.array([1, 2, 3, 4, 5, 4, 3, 2, 1]) / 25


def smooth(image: np.ndarray) -> np.ndarray:
    """Filter rows and columns with (1 2 3 4 5 4 3 2 1) / 25, mirrored at the border with the edge pixel repeated.

    Args:
        image: (H, W) float32, of any size.

    Returns:
        (H, W) float32.
    """
    if min(image.shape) <= 2 * RADIUS + 1:
        columns = correlate1d(image, TRIANGLE, axis=0, mode='reflect')
        return correlate1d(columns, TRIANGLE, axis=1, mode='reflect')
    along_x = _running_triangle(np.ascontiguousarray(image.T), np.float32(1 / (RADIUS + 1) ** 4)).T
    return _running_triangle(np.ascontiguousarray(along_x), np.float32(1))


@compiled
def _running_triangle(image, scale):
    """Sums of a triangle window sliding down the columns of (H, W) float32, H > 9, times ``scale``.

    The second difference of the window is 1 at both ends and -2 in the middle, so a slope and a sum are carried along.
    """
    height, width = image.shape
    reach = RADIUS + 1
    two = np.float32(2)
    out = np.empty((height, width), dtype=np.float32)
    slope, total = np.empty(width, dtype=np.float32), np.empty(width, dtype=np.float32)
    for x in range(width):
        slope[x] = total[x] = image[0, x]
    for y in range(1, reach):
        for x in range(width):
            slope[x] += image[y, x]
            total[x] += slope[x]
    for x in range(width):
        total[x] = scale * (two * total[x] - slope[x])
        slope[x] = 0
        out[0, x] = total[x]
    for y in range(1, height):
        above = y - reach - 1 if y > reach else reach - y
        below = y + reach - 1 if y + reach <= height else 2 * height - reach - y
        for x in range(width):
            slope[x] += image[above, x] + image[below, x] - two * image[y - 1, x]
            total[x] += scale * slope[x]
            out[y, x] = total[x]
    return out
