"""Rotate and zoom about the centre, at constant size."""

from collections.abc import Sequence

import cv2
import numpy as np
from mmcv.transforms import BaseTransform
from mmcv.transforms.utils import cache_randomness

from mlore_mm.datasets.transforms.resampling import resample_label
from mlore_mm.registry import TRANSFORMS
from mlore_mm.tasks import Task

BORDERS = ('zero', 'ignore')


@TRANSFORMS.register_module()
class MultiTaskRandomWarp(BaseTransform):
    """Turn image and labels about the centre by an angle, and enlarge them by a factor; the size stays.

    The image and labels of tasks with ``interpolation='cubic'`` (normals in benchmark family A) are interpolated by
    cubic splines, others taken from the nearest pixel. The image keeps fractions and overshoot, and normals are not of
    unit length between pixels: a :class:`MultiTaskResize` follows. Metres are divided by the zoom, vectors turned.

    Source: ASTMT (Maninis et al., CVPR 2019), ``ScaleNRotate``, as in MTI-Net and M3ViT.

    Args:
        rotation: (low, high) in degrees, counter-clockwise, drawn evenly. Published: (-20, 20) on PASCAL-Context.
        zoom: (low, high), drawn evenly. Published: (0.75, 1.25) on PASCAL-Context.
        zooms: Factors to draw one from, in place of ``zoom``. Published: (1, 1.2, 1.5) on NYUD-v2.
        border: What labels say where there is no image: 'zero', as published, which is a label for class maps, salient
            things and boundaries; or 'ignore'.
    """

    def __init__(
        self,
        rotation: Sequence[float] = (0.0, 0.0),
        zoom: Sequence[float] = (1.0, 1.0),
        zooms: Sequence[float] = (),
        border: str = 'zero',
    ) -> None:
        if not rotation[0] <= rotation[1] or not 0 < zoom[0] <= zoom[1] or any(factor <= 0 for factor in zooms):
            raise ValueError(
                'MultiTaskRandomWarp needs rotation=(low, high) in degrees, and zoom=(low, high) or zooms above 0, but '
                f'got rotation={tuple(rotation)}, zoom={tuple(zoom)} and zooms={tuple(zooms)}.'
            )
        if border not in BORDERS:
            raise ValueError(f"border is 'zero' or 'ignore', but got {border!r}.")
        self.rotation, self.zoom, self.zooms, self.border = tuple(rotation), tuple(zoom), tuple(zooms), border

    @cache_randomness
    def draw(self) -> tuple[float, float]:
        """Degrees and factor."""
        zoom = np.random.choice(self.zooms) if self.zooms else np.random.uniform(*self.zoom)  # noqa: NPY002
        return float(np.random.uniform(*self.rotation)), float(zoom)  # noqa: NPY002

    def transform(self, results: dict) -> dict:
        if 'intrinsics' in results:
            raise ValueError(
                'MultiTaskRandomWarp turns the image, which intrinsics cannot follow. Take one of them out.'
            )
        degrees, zoom = self.draw()
        height, width = results['img'].shape[:2]
        matrix = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, zoom)

        def warp(array: np.ndarray, flag: int, border: float = 0.0) -> np.ndarray:
            return cv2.warpAffine(array, matrix, (width, height), flags=flag, borderValue=[border] * 4)

        results['img'] = warp(results['img'].astype(np.float32), cv2.INTER_CUBIC)
        for name, target in results['targets'].items():
            task = results['tasks'][name]
            if not (target == task.ignore_value).all():  # no label for this image, and no border that says something
                results['targets'][name] = self._warp_label(target, task, degrees, zoom, warp)
        return results

    def _warp_label(self, target: np.ndarray, task: Task, degrees: float, zoom: float, warp) -> np.ndarray:
        border = 0.0 if self.border == 'zero' else task.pad_value
        turned = task.rotate_values(target, degrees)
        return task.rescale_values(resample_label(turned, task, lambda x, flag: warp(x, flag, border)), zoom)
