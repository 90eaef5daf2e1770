"""The four counts of an image at every threshold, all that the scores need to know of it."""

import numpy as np

from mlore_mm.evaluation.functional.boundary.compiled import compiled
from mlore_mm.evaluation.functional.boundary.matching import WORD, disk, match, matching_radius, set_bits
from mlore_mm.evaluation.functional.boundary.suppression import edge_strength
from mlore_mm.evaluation.functional.boundary.thinning import add_pixels, thin_pixels

FULL_THRESHOLDS = (0.001, *(step / 100 for step in range(1, 100)), 0.999)
FAST_THRESHOLDS = tuple(step / 20 for step in range(1, 20))


def boundary_counts(
    prediction: np.ndarray, ground_truth: np.ndarray, max_dist: float, thresholds: tuple[float, ...] = FULL_THRESHOLDS
) -> np.ndarray:
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
        raise ValueError(
            f'The boundary prediction is {prediction.shape} and its ground truth {ground_truth.shape} '
            f'(height, width). Resize the prediction to the ground truth.'
        )
    thresholds = np.asarray(thresholds, dtype=np.float64)
    if thresholds.ndim != 1 or thresholds.size == 0 or thresholds[0] < 0 or not (np.diff(thresholds) > 0).all():
        raise ValueError(f'Boundary thresholds must be ascending numbers from 0 up, but got {thresholds.tolist()}.')
    strength = np.pad(edge_strength(prediction), 1)
    true_pixels = np.flatnonzero(np.pad(ground_truth != 0, 1)).astype(np.int32)
    pixels, ends = _falling_thresholds(strength.reshape(-1), thresholds)
    rows = disk(matching_radius(prediction.shape, max_dist))
    matched, predicted = _count(pixels, ends, true_pixels, rows, np.array(strength.shape))
    return np.stack([matched, np.full_like(matched, true_pixels.size), matched, predicted])


def _falling_thresholds(strength: np.ndarray, thresholds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pixels in the order in which falling thresholds reveal them, int32, and how many of them each threshold shows.

    The comparison is strict, and of the single-precision strength with the threshold in double precision.
    """
    pixels = np.flatnonzero(strength).astype(np.int32)
    levels = np.searchsorted(thresholds, strength[pixels].astype(np.float64))  # how many thresholds lie below
    shown = np.cumsum(np.bincount(levels, minlength=thresholds.size + 1)[::-1])[::-1]
    return pixels[np.argsort(-levels, kind='stable')], shown[1:]


@compiled
def _count(pixels, ends, true_pixels, rows, shape):
    """Go through the thresholds from the highest to the lowest; each starts from the matching of the one before."""
    height, stride = shape[0], shape[1]
    words = -(-stride // WORD)
    mask, all_codes = np.zeros(height * stride, dtype=np.uint8), np.zeros(height * stride, dtype=np.uint8)
    alive, codes = np.zeros(mask.size, dtype=np.uint8), np.zeros(mask.size, dtype=np.uint8)
    bits, true_bits = np.zeros((height, words), dtype=np.int64), np.zeros((height, words), dtype=np.int64)
    mates, true_mates = np.empty(mask.size, dtype=np.int32), np.empty(mask.size, dtype=np.int32)
    for pixel in range(mask.size):
        mates[pixel] = true_mates[pixel] = -1
    set_bits(true_bits, true_pixels, true_pixels.size, stride)
    lines, size, known = np.empty(pixels.size, dtype=np.int32), np.int64(0), np.int64(0)
    predicted, matched = np.zeros(ends.size, dtype=np.int64), np.zeros(ends.size, dtype=np.int64)
    for index in range(ends.size - 1, -1, -1):
        if ends[index] == known:  # the same mask again
            if index + 1 < ends.size:
                predicted[index], matched[index] = predicted[index + 1], matched[index + 1]
            continue
        add_pixels(pixels, known, ends[index], all_codes, stride)
        for revealed in range(known, ends[index]):
            mask[pixels[revealed]] = 1
        known = ends[index]
        for pixel in range(mask.size):
            alive[pixel], codes[pixel] = mask[pixel], all_codes[pixel]
        thin_pixels(pixels, known, alive, codes, stride)
        _part(lines, size, alive, mates, true_mates)
        size = _replace_lines(lines, size, pixels, known, alive, bits, stride)
        predicted[index] = size
        matched[index] = match(
            lines, true_pixels, size, true_pixels.size, mates, true_mates, bits, true_bits, rows, stride
        )
    return matched, predicted


@compiled
def _part(lines, size, alive, mates, true_mates):
    """Part the pairs of pixels that are no longer on a line."""
    for index in range(size):
        pixel = lines[index]
        if alive[pixel] == 0 and mates[pixel] >= 0:
            true_mates[mates[pixel]] = -1
            mates[pixel] = -1


@compiled
def _replace_lines(lines, size, pixels, known, alive, bits, stride):
    """Put the pixels that thinning left into ``lines`` and ``bits``, in place of the old; returns how many."""
    for index in range(size):
        bits[lines[index] // stride, lines[index] % stride // WORD] = 0
    count = np.int64(0)
    for index in range(known):
        if alive[pixels[index]]:
            lines[count] = pixels[index]
            count += 1
    set_bits(bits, lines, count, stride)
    return count
