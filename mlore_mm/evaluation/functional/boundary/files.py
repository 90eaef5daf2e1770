"""Reading the images that the boundary score compares."""

from pathlib import Path

import numpy as np
from PIL import Image
from scipy.io import loadmat

from mlore_mm.evaluation.functional.boundary.counts import boundary_counts
from mlore_mm.evaluation.functional.boundary.ground_truth import boundary_ground_truth


def read_prediction(path: str | Path) -> np.ndarray:
    """An 8-bit grey image, (H, W) uint8, 255 for a certain boundary."""
    with Image.open(path) as image:
        if image.mode != 'L':
            raise ValueError(
                f"{path}: a boundary prediction must be an 8-bit grey image (mode 'L'), but this one has mode "
                f"'{image.mode}'. Save round(255 * probability) with one channel."
            )
        return np.array(image)


def read_labels(path: str | Path) -> np.ndarray:
    """The label map that the true boundary is made from, (H, W).

    Args:
        path: A ``.mat`` file with the variable ``LabelMap`` (PASCAL-Context), or an image with one value per pixel: a
            0/255 edge map (NYUD-v2) or class ids.
    """
    path = Path(path)
    if path.suffix == '.mat':
        contents = loadmat(path)
        if 'LabelMap' not in contents:
            names = sorted(name for name in contents if not name.startswith('__'))
            raise ValueError(f"{path}: no variable 'LabelMap', found {names}. Give the PASCAL-Context annotations.")
        labels = contents['LabelMap']
    else:
        with Image.open(path) as image:
            labels = np.array(image)
    if labels.ndim != 2:
        raise ValueError(f'{path}: one value per pixel expected, but the array has shape {labels.shape}.')
    return labels


def count_image(
    prediction: np.ndarray, labels: np.ndarray | str | Path, max_dist: float, thresholds: tuple[float, ...]
) -> np.ndarray:
    """``boundary_counts`` of one image, (4, T), straight from its labels or their file; what the workers run."""
    source = ''
    if isinstance(labels, str | Path):
        source, labels = f'{labels}: ', read_labels(labels)
    if prediction.shape != labels.shape:
        raise ValueError(
            f'{source}the boundary labels are {labels.shape} and the prediction {prediction.shape} (height, width). '
            f'Bring the prediction to the size of the labels before scoring.'
        )
    return boundary_counts(prediction, boundary_ground_truth(labels), max_dist, thresholds)
