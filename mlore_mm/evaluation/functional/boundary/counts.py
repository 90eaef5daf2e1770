"""The four counts of an image at every threshold, all that the scores need to know of it."""
import numpy as np

from .compiled import compiled
from .matching import disk, empty_bits, match, matching_radius, set_bits
from .suppression import edge_strength
from .thinning import add_pixels, thin_pixels

FULL_THRESHOLDS = (0.001, *(step / 100 for step in range(1, 100)), 0.999)
FAST_THRESHOLDS = tuple(step / 20 for step in range(1, 20))


def boundary_counts(prediction: np.ndarray, ground_truth: np.ndarray, max_dist: float,
                    thresholds: tuple[float, ...] = FULL_THRESHOLDS) -> np.ndarray:
    """Count matched and all pixels of the prediction and of the ground truth at each threshold.

    The matching is exact: the largest possible number of pairs. The randomised matching of the original protocol
    misses 0.07 % of them on average, so that an odsF of ours is 0.05 to 0.1 point (of 100) above the original's.

    Args:
        prediction: (H, W) uint8, boundary strength 0..255.
        ground_truth: (H, W) bool, the thinned boundary (see ``boundary_ground_truth``).
        max_dist: Largest distance of a pair, as a fraction of the image diagonal.
        thresholds: Ascending; a pixel is predicted where its strength in 0..1 is above the threshold.

    Returns:
        (4, T) int64: matched true pixels, true pixels, matched predicted pixels, predicted pixels. With one ground
        truth per image the first and the third are equal.
    """
    if prediction.shape != ground_truth.shape:
        raise ValueError(f'The boundary prediction is {prediction.shape} and its ground truth {ground_truth.shape} '
                         f'(height, width). Resize the prediction to the ground truth.')
    thresholds = np.asarray(thresholds, dtype=np.float64)
    if thresholds.ndim != 1 or not (np.diff(thresholds) > 0).all():
        raise ValueError(f'Boundary thresholds must be ascending numbers, but got {thresholds.tolist()}.')
    strength = np.pad(edge_strength(prediction), 1)
    true_pixels = np.flatnonzero(np.pad(ground_truth != 0, 1)).astype(np.int32)
    # Pixels in the order in which falling thresholds reveal them: the mask of threshold t is the first ends[t].
    levels = np.searchsorted(thresholds, strength.reshape(-1).astype(np.float64))
    pixels = np.argsort(-levels, kind='stable')
    ends = np.cumsum(np.bincount(levels, minlength=thresholds.size + 1)[:0:-1])[::-1]
    rows = disk(matching_radius(prediction.shape, max_dist))
    matched, predicted = _count(pixels[:ends[:1].sum()].astype(np.int32), ends, true_pixels, rows,
                                np.array(strength.shape))
    return np.stack([matched, np.full_like(matched, true_pixels.size), matched, predicted])


@compiled
def _count(pixels, ends, true_pixels, rows, shape):
    """Go through the thresholds from the highest to the lowest; each starts from the matching of the one before."""
    height, stride = shape
    mask = np.zeros(height * stride, dtype=np.uint8)
    codes = np.zeros_like(mask)
    alive = np.zeros_like(mask)
    words = -(-stride // 32)
    true_bits = np.zeros((height, words), dtype=np.int64)
    set_bits(true_bits, true_pixels, stride)
    bits = np.zeros_like(true_bits)
    mates = np.full(mask.size, -1, dtype=np.int32)
    true_mates = mates.copy()
    predicted = np.zeros(ends.size, dtype=np.int64)
    matched = np.zeros(ends.size, dtype=np.int64)
    lines = pixels[:0]
    known = 0
    for index in range(ends.size - 1, -1, -1):
        if ends[index] == known:  # the same mask again
            if index + 1 < ends.size:
                predicted[index], matched[index] = predicted[index + 1], matched[index + 1]
            continue
        add_pixels(pixels[known:ends[index]], codes, stride)
        mask[pixels[known:ends[index]]] = 1
        known = ends[index]
        alive[:] = mask
        thin_pixels(pixels[:known], alive, codes.copy(), stride)
        for pixel in lines:  # part those that thinning now removes
            if alive[pixel] == 0 and mates[pixel] >= 0:
                true_mates[mates[pixel]] = -1
                mates[pixel] = -1
        lines = _set(pixels[:known], alive)
        bits[:] = 0
        set_bits(bits, lines, stride)
        predicted[index] = lines.size
        matched[index] = match(lines, true_pixels, mates, true_mates, bits, true_bits, rows, stride)
    return matched, predicted


@compiled
def _set(pixels, alive):
    found = np.empty_like(pixels)
    count = 0
    for pixel in pixels:
        if alive[pixel]:
            found[count] = pixel
            count += 1
    return found[:count]
