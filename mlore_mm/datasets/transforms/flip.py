"""Mirror an image and its labels."""

import cv2
import numpy as np
from mmcv.transforms import BaseTransform
from mmcv.transforms.utils import cache_randomness

from mlore_mm.datasets import intrinsics
from mlore_mm.registry import TRANSFORMS


@TRANSFORMS.register_module()
class MultiTaskRandomFlip(BaseTransform):
    """Mirror left and right with probability ``prob``; each task changes its values as it needs (x of normals)."""

    def __init__(self, prob: float = 0.5) -> None:
        if not 0 <= prob <= 1:
            raise ValueError(f'prob has to be in 0..1, but is {prob}.')
        self.prob = prob

    @cache_randomness
    def draw(self) -> bool:
        return bool(np.random.rand() < self.prob)  # noqa: NPY002

    def transform(self, results: dict) -> dict:
        results['flip'] = self.draw()
        results['flip_direction'] = 'horizontal' if results['flip'] else None
        if results['flip']:
            results['img'] = cv2.flip(results['img'], 1)
            intrinsics.mirrored(results, results['img'].shape[1])
            for name, target in results['targets'].items():
                results['targets'][name] = results['tasks'][name].hflip_values(cv2.flip(target, 1))
        return results
