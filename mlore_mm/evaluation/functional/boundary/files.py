"""Reading the images that the boundary score compares."""

from pathlib import Path

import numpy as np

from mlore_mm.evaluation.functional.boundary.counts import boundary_counts
from mlore_mm.evaluation.functional.boundary.ground_truth import boundary_ground_truth
from mlore_mm.utils.mat_files import read_label_map
from mlore_mm.utils.png_files import read_png


def read_prediction(path: str | Path) -> np.ndarray:
    """An 8-bit grey PNG, (H, W) uint8, 255 for a certain boundary.

    Raises:
        ValueError: Naming the file: it is missing, damaged or of another kind.
    """
    pixels = read_png(str(path), palette=False)
    if pixels.ndim != 2 or pixels.dtype != np.uint8:
        raise ValueError(
            f'{path}: a boundary prediction must be an 8-bit grey image, (H, W), but this one is {pixels.dtype} of '
            f'shape {pixels.shape}. Save round(255 * probability) with one channel.'
        )
    return pixels


def read_labels(path: str | Path) -> np.ndarray:
    """The label map that the true boundary is made from, (H, W).

    Args:
        path: A ``.mat`` file with the variable ``LabelMap`` (PASCAL-Context), or a PNG with one value per pixel: a
            0/255 edge map (NYUD-v2) or class ids.

    Raises:
        ValueError: Naming the file: it is missing, damaged or of another kind.
    """
    path = Path(path)
    if path.suffix == '.mat':
        return read_label_map(str(path))
    labels = read_png(str(path))
    if labels.ndim != 2:
        raise ValueError(f'{path}: one value per pixel expected, but the array has shape {labels.shape}.')
    return labels


def count_image(
    prediction: np.ndarray, labels: np.ndarray | str | Path, max_dist: float, thresholds: tuple[float, ...]
) -> np.ndarray:
    """``boundary_counts`` of one image, (4, T), straight from its labels or their file; what the threads run."""
    source = ''
    if isinstance(labels, str | Path):
        source, labels = f'{labels}: ', read_labels(labels)
    if prediction.shape != labels.shape:
        raise ValueError(
            f'{source}the boundary labels are {labels.shape} and the prediction {prediction.shape} (height, width). '
            f'Bring the prediction to the size of the labels before scoring; --resize of eval_boundary.py does.'
        )
    return boundary_counts(prediction, boundary_ground_truth(labels), max_dist, thresholds)
