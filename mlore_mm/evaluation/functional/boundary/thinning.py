"""Thin a mask to lines of one pixel.

Source: the two-subiteration algorithm of Guo and Hall (Communications of the ACM, 1989), as MATLAB's
``bwmorph(mask, 'thin', inf)`` and scikit-image's ``thin`` compute it. Only the neighbours of deleted pixels are looked
at again, so the time grows with the number of deleted pixels and not with the number of passes.
"""
import numpy as np

from .compiled import compiled


def _deletable() -> np.ndarray:
    """(2, 256) uint8: whether sub-pass 0 or 1 deletes a pixel with these neighbours.

    Bit i of the neighbour code is the neighbour in direction i: 0 is right, then counter-clockwise, 7 is down-right.
    """
    table = np.zeros((2, 256), dtype=np.uint8)
    for code in range(256):
        n = [bool(code >> direction & 1) for direction in range(8)]
        sides, corners, after = n[0::2], n[1::2], n[2::2] + n[:1]
        crossings = sum(not side and (corner or following) for side, corner, following in zip(sides, corners, after))
        first = sum(side or corner for side, corner in zip(sides, corners))
        second = sum(corner or following for corner, following in zip(corners, after))
        if crossings == 1 and min(first, second) in (2, 3):
            table[0, code] = not ((n[1] or n[2] or not n[7]) and n[0])
            table[1, code] = not ((n[5] or n[6] or not n[3]) and n[4])
    return table


DELETABLE = _deletable()


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
    add_pixels(pixels, codes, stride)
    thin_pixels(pixels, alive.reshape(-1), codes, stride)
    return alive[1:-1, 1:-1] != 0


@compiled
def directions(stride):
    """Offsets of the 8 neighbours in a flattened image of ``stride`` columns."""
    return np.array([1, 1 - stride, -stride, -1 - stride, -1, stride - 1, stride, stride + 1])


@compiled
def add_pixels(pixels, codes, stride):
    """Tell the neighbours of newly set ``pixels``, by setting their bits in ``codes``."""
    offsets = directions(stride)
    for pixel in pixels:
        for direction in range(8):
            codes[pixel + offsets[direction]] |= 1 << (direction + 4) % 8


@compiled
def thin_pixels(pixels, alive, codes, stride):
    """Thin in place.

    Args:
        pixels: (N,) int32, all set pixels, as indices into the flattened image.
        alive: (H * W,) uint8, 1 where set. The outermost ring is never set.
        codes: (H * W,) uint8, neighbour code of every pixel.
        stride: W.
    """
    deleted = np.empty((2, pixels.size), dtype=np.int32)  # what each sub-pass deleted last
    for step in range(2):
        count = 0
        for pixel in pixels:
            if alive[pixel] and DELETABLE[step, codes[pixel]]:
                deleted[step, count] = pixel
                count += 1
        _delete(deleted[step, :count], alive, codes, stride)
        if step == 0:
            first = count
        else:
            second = count
    while first + second > 0:
        first = _thin_again(0, deleted[0], first, deleted[1, :second], alive, codes, stride)
        second = _thin_again(1, deleted[1], second, deleted[0, :first], alive, codes, stride)


@compiled
def _thin_again(step, own, own_count, other, alive, codes, stride):
    """One sub-pass over the neighbours of what was deleted since it last ran; refills ``own``, returns how many."""
    offsets = directions(stride)
    queued = np.uint8(2)
    found = np.empty(8 * (own_count + other.size), dtype=np.int32)
    count = 0
    for source in (own[:own_count], other):
        for pixel in source:
            for offset in offsets:
                neighbour = pixel + offset
                if alive[neighbour] == 1 and DELETABLE[step, codes[neighbour]]:
                    alive[neighbour] = queued
                    found[count] = neighbour
                    count += 1
    own[:count] = found[:count]
    _delete(own[:count], alive, codes, stride)
    return count


@compiled
def _delete(pixels, alive, codes, stride):
    offsets = directions(stride)
    for pixel in pixels:
        alive[pixel] = 0
        for direction in range(8):
            codes[pixel + offsets[direction]] &= 255 ^ (1 << (direction + 4) % 8)
