"""Labels that are interpolated by cubic splines, as benchmark family A does with normals."""

from collections.abc import Callable

import cv2
import numpy as np

from mlore_mm.tasks import Task

Resample = Callable[[np.ndarray, int], np.ndarray]


def resample_label(target: np.ndarray, task: Task, resample: Resample) -> np.ndarray:
    """A label moved or resized by ``resample(array, interpolation of OpenCV)``.

    Cubic splines run over everything: pixels without a label enter as ``pad_value``, and ``mask_values`` has to find
    what they leave. Other labels are taken from the nearest pixel.
    """
    if task.interpolation != 'cubic':
        return resample(target, cv2.INTER_NEAREST)
    unlabelled = target == task.ignore_value
    unlabelled = unlabelled if target.ndim == 2 else unlabelled.any(axis=-1, keepdims=True)
    return resample(np.where(unlabelled, task.pad_value, target).astype(np.float32), cv2.INTER_CUBIC)


def to_pixels(image: np.ndarray) -> np.ndarray:
    """Numbers to uint8. Splines overshoot at strong edges, which is cut off at 0 and 255; fractions are dropped.

    Differs: the published code does not cut off, so that -30 becomes 226.
    """
    return np.clip(image, 0, 255).astype(np.uint8)
