"""Thin a mask to lines of one pixel.

Source: the two-subiteration algorithm of Guo and Hall (Communications of the ACM, 1989), as MATLAB's
``bwmorph(mask, 'thin', inf)`` and scikit-image's ``thin`` compute it. Only the neighbours of deleted pixels are looked
at again, so the time grows with the number of deleted pixels and not with the number of passes.
"""

import numpy as np

from mlore_mm.evaluation.functional.boundary.compiled import compiled
from mlore_mm.utils.thinning_rule import DELETABLE


def thin(mask: np.ndarray) -> np.ndarray:
    """Thin to convergence; pixels outside the image count as 0.

    Args:
        mask: (H, W), non-zero is set.

    Returns:
        (H, W) bool, a subset of ``mask``.
    """
    alive = np.pad(np.asarray(mask) != 0, 1).astype(np.uint8)
    stride = alive.shape[1]
    pixels = np.flatnonzero(alive).astype(np.int32)
    codes = np.zeros(alive.size, dtype=np.uint8)
    add_pixels(pixels, 0, pixels.size, codes, stride)
    thin_pixels(pixels, pixels.size, alive.reshape(-1), codes, stride)
    return alive[1:-1, 1:-1] != 0


@compiled
def directions(stride):
    """Offsets of the 8 neighbours in a flattened image of ``stride`` columns."""
    return (1, 1 - stride, -stride, -1 - stride, -1, stride - 1, stride, stride + 1)


@compiled
def add_pixels(pixels, start, stop, codes, stride):
    """Tell the neighbours of the newly set ``pixels[start:stop]``, by setting their bits in ``codes``."""
    offsets = directions(stride)
    for index in range(start, stop):
        for direction in range(8):
            codes[pixels[index] + offsets[direction]] |= 1 << (direction + 4) % 8


# The arrays of the loops below are filled up to a count and never sliced or assigned as a whole, and counts start as an
# np.int64: else numba compiles several versions of a function and its code for broadcasting, which takes seconds.


@compiled
def thin_pixels(pixels, size, alive, codes, stride):
    """Thin in place.

    Args:
        pixels: int32; the first ``size`` are all set pixels, as indices into the flattened image.
        size: N.
        alive: (H * W,) uint8, 1 where set. The outermost ring is never set.
        codes: (H * W,) uint8, neighbour code of every pixel.
        stride: W.
    """
    first = np.empty(size, dtype=np.int32)  # what each sub-pass deleted last
    second = np.empty(size, dtype=np.int32)
    firsts = _thin_once(DELETABLE[0], pixels, size, first, alive, codes, stride)
    seconds = _thin_once(DELETABLE[1], pixels, size, second, alive, codes, stride)
    while firsts + seconds > 0:
        firsts = _thin_again(DELETABLE[0], first, firsts, second, seconds, alive, codes, stride)
        seconds = _thin_again(DELETABLE[1], second, seconds, first, firsts, alive, codes, stride)


@compiled
def _thin_once(deletable, pixels, size, deleted, alive, codes, stride):
    """One sub-pass over all pixels; fills ``deleted`` and returns how many."""
    count = np.int64(0)
    for index in range(size):
        pixel = pixels[index]
        if alive[pixel] and deletable[codes[pixel]]:
            deleted[count] = pixel
            count += 1
    _delete(deleted, count, alive, codes, stride)
    return count


@compiled
def _thin_again(deletable, own, own_count, other, other_count, alive, codes, stride):
    """One sub-pass over the neighbours of what was deleted since it last ran; refills ``own``, returns how many."""
    offsets = directions(stride)
    found = np.empty(8 * (own_count + other_count), dtype=np.int32)
    count = np.int64(0)
    for index in range(own_count + other_count):
        pixel = own[index] if index < own_count else other[index - own_count]
        for direction in range(8):
            neighbour = pixel + offsets[direction]
            if alive[neighbour] == 1 and deletable[codes[neighbour]]:
                alive[neighbour] = 2  # listed
                found[count] = neighbour
                count += 1
    for index in range(count):
        own[index] = found[index]
    _delete(own, count, alive, codes, stride)
    return count


@compiled
def _delete(pixels, size, alive, codes, stride):
    offsets = directions(stride)
    for index in range(size):
        alive[pixels[index]] = 0
        for direction in range(8):
            codes[pixels[index] + offsets[direction]] &= 255 ^ (1 << (direction + 4) % 8)
