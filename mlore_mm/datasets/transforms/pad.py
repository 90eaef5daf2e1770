"""Bring images to one size without changing a pixel."""

import cv2
import numpy as np
from mmcv.transforms import BaseTransform

from mlore_mm.datasets import intrinsics
from mlore_mm.registry import TRANSFORMS


@TRANSFORMS.register_module()
class CentrePad(BaseTransform):
    """Pad around the centre: the image with 0, each label that is loaded by then with its task's ``pad_value``.

    An odd pixel goes to the right and the bottom. ``padding`` records (left, right, top, bottom) in pixels; the model's
    preprocessor sets padded pixels to 0 again after normalising, and its post-processing cuts them off.

    Args:
        size: (H, W) to reach; larger images stay as they are.
        divisor: Pad on to multiples of this.
    """

    def __init__(self, size: tuple[int, int] | None = None, divisor: int = 1) -> None:
        if size is None and divisor <= 1:
            raise ValueError('CentrePad needs `size`, or `divisor` above 1.')
        if divisor < 1 or (size is not None and min(size) < 1):
            raise ValueError(f'CentrePad needs size=(H, W) and divisor of 1 or more, but got {size} and {divisor}.')
        self.size, self.divisor = (0, 0) if size is None else tuple(size), divisor

    def transform(self, results: dict) -> dict:
        height, width = results['img'].shape[:2]
        top, bottom = self._split(height, self.size[0])
        left, right = self._split(width, self.size[1])
        before = results.get('padding', (0, 0, 0, 0))
        results['padding'] = tuple(a + b for a, b in zip(before, (left, right, top, bottom), strict=True))
        if top + bottom + left + right:
            around = (top, bottom, left, right)
            intrinsics.shifted(results, top, left)
            results['img'] = _pad(results['img'], around, 0)
            for name, target in results.get('targets', {}).items():
                results['targets'][name] = _pad(target, around, results['tasks'][name].pad_value)
        results['img_shape'] = results['img'].shape[:2]
        return results

    def _split(self, length: int, wanted: int) -> tuple[int, int]:
        goal = -(-max(length, wanted) // self.divisor) * self.divisor
        before = (goal - length) // 2
        return before, goal - length - before


def _pad(array: np.ndarray, around: tuple[int, int, int, int], value: float) -> np.ndarray:
    channels = array.shape[2] if array.ndim == 3 else 1
    if channels > 4:  # more than OpenCV's scalar holds
        top, bottom, left, right = around
        return np.pad(array, ((top, bottom), (left, right), (0, 0)), constant_values=value)
    return cv2.copyMakeBorder(array, *around, cv2.BORDER_CONSTANT, value=[value] * channels)
