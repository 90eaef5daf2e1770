"""The true boundary, made from a map of labels."""

import numpy as np

from mlore_mm.evaluation.functional.boundary.thinning import thin


def boundary_ground_truth(labels: np.ndarray) -> np.ndarray:
    """The thinned boundary of a label map, (H, W) bool.

    An edge image with lines of value 255 on 0 is read as a label map too, as in the SEISM protocol: the boundary of a
    line one pixel wide, thinned, is a line one pixel wide; a wider line becomes two, one on each side.

    Args:
        labels: (H, W) of any numeric type, one label per pixel.
    """
    return thin(boundary_map(labels))


def boundary_map(labels: np.ndarray) -> np.ndarray:
    """(H, W) bool, set where the label differs from that of the pixel to the right, below, or below to the right.

    In the last row only the right one counts, in the last column only the one below.
    """
    if labels.ndim != 2:
        raise ValueError(f'A label map must be (H, W), but got shape {labels.shape}.')
    boundary = np.zeros(labels.shape, dtype=bool)
    boundary[:, :-1] |= labels[:, :-1] != labels[:, 1:]
    boundary[:-1] |= labels[:-1] != labels[1:]
    boundary[:-1, :-1] |= labels[:-1, :-1] != labels[1:, 1:]
    return boundary
