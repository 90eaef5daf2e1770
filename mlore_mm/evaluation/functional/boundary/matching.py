"""How many boundary pixels can be paired, one to one, within a distance.

The protocol asks for the size of a maximum matching in the bipartite graph whose edges join a predicted and a true
pixel at most ``radius`` apart. Neither vertices nor edges are stored: both sides are images with a bit per pixel, and
the pixels near a point are the set bits of a few words per row.

The search is breadth-first from all unmatched pixels of one side at once, each the root of an alternating tree; no
pixel of the other side is entered twice, and a tree stops growing once its root is matched. Rounds repeat until one of
them matches nothing, which proves the matching to be maximum (Berge's theorem). A round costs time in proportion to
the pixels, not to their pairs, and it can start from any matching, such as that of a neighbouring threshold.
"""

import math

import numpy as np

from mlore_mm.evaluation.functional.boundary.compiled import compiled

WORD = 32  # bits used of each int64
# Index of the lowest bit of a 32-bit word, by de Bruijn's sequence.
LOWEST_BIT = np.array([0, 1, 28, 2, 29, 14, 24, 3, 30, 22, 20, 15, 25, 17, 4, 8,
                       31, 27, 13, 23, 21, 19, 16, 7, 26, 12, 18, 6, 11, 5, 10, 9])  # fmt: skip


def maximum_matching(first: np.ndarray, second: np.ndarray, radius: float) -> int:
    """Largest number of pairs of a pixel set in ``first`` and one set in ``second``, each pixel used once.

    Args:
        first: (H, W), non-zero is set.
        second: (H, W).
        radius: Largest Euclidean distance of a pair, in pixels, not rounded.
    """
    if first.shape != second.shape:
        raise ValueError(
            f'Boundaries can only be matched in images of one size, but got {first.shape} and {second.shape}.'
        )
    pixels = [np.flatnonzero(image).astype(np.int32) for image in (first, second)]
    shape = np.array(first.shape)
    bits = [empty_bits(first.shape) for _ in pixels]
    mates = [np.full(first.size, -1, dtype=np.int32) for _ in pixels]
    for one, words in zip(pixels, bits, strict=True):
        set_bits(words, one, one.size, shape[1])
    return match(*pixels, pixels[0].size, pixels[1].size, *mates, *bits, disk(radius), shape[1])


def matching_radius(shape: tuple[int, int], max_dist: float) -> float:
    """The radius in pixels: ``max_dist`` is a fraction of the diagonal of an image of this (H, W)."""
    return max_dist * math.sqrt(shape[0] ** 2 + shape[1] ** 2)


def disk(radius: float) -> np.ndarray:
    """(N, 2) rows (dy, k), nearest first: pixels (dy, -k) to (dy, k) are within ``radius`` of the origin."""
    reach = int(radius)
    rows = []
    for dy in sorted(range(-reach, reach + 1), key=abs):
        widths = [dx for dx in range(reach + 1) if dy**2 + dx**2 <= radius**2]
        if widths:
            rows.append((dy, widths[-1]))
    return np.array(rows, dtype=np.int64)


def empty_bits(shape: tuple[int, int]) -> np.ndarray:
    """(H, words) int64 of zeros, for an image of this (H, W)."""
    return np.zeros((shape[0], -(-shape[1] // WORD)), dtype=np.int64)


@compiled
def set_bits(bits, pixels, size, stride):
    """Set the bits of the first ``size`` of ``pixels``, indices into a flattened image of ``stride`` columns."""
    for index in range(size):
        y, x = pixels[index] // stride, pixels[index] % stride
        bits[y, x // WORD] |= 1 << x % WORD


@compiled
def match(first, second, size, second_size, mate_of_first, mate_of_second, first_bits, second_bits, rows, stride):
    """Grow a matching until it is maximum, in place.

    Args:
        first, second: Set pixels of the two sides, int32 indices into the flattened image.
        size, second_size: How many of them there are; the arrays may be longer.
        mate_of_first, mate_of_second: (H * W,) int32, the partner of every pixel, -1 where there is none.
        first_bits, second_bits: The same pixels as :func:`set_bits` writes them.
        rows: See :func:`disk`.
        stride: W.

    Returns:
        The number of pairs.
    """
    for index in range(size):  # a pixel that both sides share is a pair to start with
        pixel = first[index]
        y, x = pixel // stride, pixel % stride
        shared = second_bits[y, x // WORD] >> x % WORD & 1
        if shared and mate_of_first[pixel] < 0 and mate_of_second[pixel] < 0:
            mate_of_first[pixel] = pixel
            mate_of_second[pixel] = pixel
    pairs = 0
    for index in range(size):
        pairs += mate_of_first[first[index]] >= 0
    if size <= second_size:  # search from the side that misses fewer
        return pairs + _augment(first, size, mate_of_first, mate_of_second, second_bits, rows, stride)
    return pairs + _augment(second, second_size, mate_of_second, mate_of_first, first_bits, rows, stride)


@compiled
def _augment(pixels, size, mates, mates_beyond, bits_beyond, rows, stride):
    """Rounds of search from the unmatched ``pixels`` of one side; returns the number of pairs gained."""
    parents = np.empty(mates.size, dtype=np.int32)
    roots = np.empty(mates.size, dtype=np.int32)
    queue = np.empty(size, dtype=np.int32)
    unseen = np.empty(bits_beyond.shape, dtype=np.int64)
    gained, found = 0, 1
    while found > 0:
        count = np.int64(0)
        for index in range(size):
            pixel = pixels[index]
            if mates[pixel] < 0:
                roots[pixel] = pixel
                queue[count] = pixel
                count += 1
        for y in range(unseen.shape[0]):
            for word in range(unseen.shape[1]):
                unseen[y, word] = bits_beyond[y, word]
        found = _search(queue, count, mates, mates_beyond, unseen, rows, stride, parents, roots)
        gained += found
    return gained


@compiled
def _search(queue, count, mates, mates_beyond, unseen, rows, stride, parents, roots):
    """One round, from the first ``count`` pixels of the queue; clears the bits it meets in ``unseen``."""
    height = unseen.shape[0]
    gained, head = 0, 0
    while head < count:
        pixel = queue[head]
        head += 1
        root = roots[pixel]
        y, x = pixel // stride, pixel % stride
        for index in range(rows.shape[0]):
            if mates[root] >= 0:  # this tree has served
                break
            row = y + rows[index, 0]
            if row < 0 or row >= height:
                continue
            start, stop = max(x - rows[index, 1], 0), min(x + rows[index, 1], stride - 1)
            for word in range(start // WORD, stop // WORD + 1):
                near = _between(unseen[row, word], start - word * WORD, stop - word * WORD)
                while near != 0 and mates[root] < 0:
                    lowest = near & -near
                    near ^= lowest
                    unseen[row, word] ^= lowest
                    beyond = row * stride + word * WORD + LOWEST_BIT[(lowest * 0x077CB531 & 0xFFFFFFFF) >> 27]
                    parents[beyond] = pixel
                    mate = mates_beyond[beyond]
                    if mate < 0:
                        _flip(beyond, mates, mates_beyond, parents)
                        gained += 1
                    else:
                        roots[mate] = root
                        queue[count] = mate
                        count += 1
    return gained


@compiled
def _between(bits, start, stop):
    """Keep bits ``start`` to ``stop``, which may lie outside the word."""
    if stop < WORD - 1:
        bits &= (1 << (stop + 1)) - 1
    if start > 0:
        bits = bits >> start << start
    return bits


@compiled
def _flip(beyond, mates, mates_beyond, parents):
    """Along the path that ends in the unmatched pixel ``beyond``, pair each pixel with its parent."""
    while beyond >= 0:
        pixel = parents[beyond]
        following = mates[pixel]
        mates[pixel] = beyond
        mates_beyond[beyond] = pixel
        beyond = following
