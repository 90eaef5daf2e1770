"""Change the size of an image and its labels."""

import cv2
import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmcv.transforms.utils import cache_randomness
from PIL import Image

from mlore_mm.datasets import intrinsics
from mlore_mm.datasets.transforms.resampling import resample_label, to_pixels
from mlore_mm.registry import TRANSFORMS
from mlore_mm.tasks import Task


@TRANSFORMS.register_module()
class MultiTaskRandomScale(BaseTransform):
    """Scale the image bilinearly and each label by its task's rule, by a factor drawn evenly from a range.

    The new size is rounded down. Image values are interpolated in float and cut to whole numbers, as published.

    Args:
        ratio_range: Lowest and highest factor; twice the same number for a fixed one.
        image_dtype: 'uint8', or 'float32' to keep the fractions. Fractions are lost in the photometric distortion
            anyway, so this matters only to pipelines without it.
    """

    def __init__(self, ratio_range: tuple[float, float] = (0.5, 2.0), image_dtype: str = 'uint8') -> None:
        low, high = ratio_range
        if not 0 < low <= high:
            raise ValueError(f'ratio_range needs 0 < low <= high, but is {tuple(ratio_range)}.')
        if image_dtype not in ('uint8', 'float32'):
            raise ValueError(f"image_dtype has to be 'uint8' or 'float32', but is {image_dtype!r}.")
        self.ratio_range, self.image_dtype = (low, high), image_dtype

    @cache_randomness
    def draw(self) -> float:
        return np.random.uniform(*self.ratio_range)  # noqa: NPY002  (mmengine seeds the global generator)

    def transform(self, results: dict) -> dict:
        scale = self.draw()
        if scale == 1:
            return results
        height, width = results['img'].shape[:2]
        size = (max(int(height * scale), 1), max(int(width * scale), 1))
        return resize_sample(results, size, scale, self.image_dtype)


@TRANSFORMS.register_module()
class MultiTaskResize(BaseTransform):
    """Resize the image, and the labels that are loaded by then, to a fixed size.

    Args:
        size: (H, W) to reach.
        keep_ratio: Keep the aspect ratio, so that the image just fits into ``size``. Otherwise both sides are met, and
            the scale that the tasks hear of (depth is divided by it) is the geometric mean of both.
        image_dtype: See :class:`MultiTaskRandomScale`.
        image_interpolation: 'bilinear'; 'lanczos', that of Pillow, which also smooths where the image shrinks; or
            'cubic', that of benchmark family A.
        scored_here: The same as ``eval_at='input'``.
        rescale_values: Whether tasks hear of the scale. False: metres of labels and predictions stay, as in benchmark
            family A.
        eval_at: 'input': predictions stay at this size, and labels are resized. 'original': predictions are brought
            back to the size of the file, and labels keep it, also where they are loaded before. By default they are
            brought back as well, while what is loaded is resized.
    """

    def __init__(
        self,
        size: tuple[int, int],
        keep_ratio: bool = True,
        image_dtype: str = 'uint8',
        image_interpolation: str = 'bilinear',
        scored_here: bool = False,
        rescale_values: bool = True,
        eval_at: str | None = None,
    ) -> None:
        if image_interpolation not in _RESIZERS:
            raise ValueError(f'image_interpolation is one of {tuple(_RESIZERS)}, but got {image_interpolation!r}.')
        if eval_at not in (None, 'input', 'original') or (scored_here and eval_at == 'original'):
            raise ValueError(
                f"eval_at is 'input' or 'original', and scored_here says 'input', but got eval_at={eval_at!r} and "
                f'scored_here={scored_here}.'
            )
        self.size, self.keep_ratio, self.image_dtype = tuple(size), keep_ratio, image_dtype
        self.image_interpolation, self.rescale_values = image_interpolation, rescale_values
        self.eval_at = 'input' if scored_here else eval_at

    def transform(self, results: dict) -> dict:
        height, width = results['img'].shape[:2]
        down, across = self.size[0] / height, self.size[1] / width
        if self.keep_ratio:
            down = across = min(down, across)
        size = (max(round(height * down), 1), max(round(width * across), 1))
        kept = {key: results.pop(key) for key in ('targets',) if self.eval_at == 'original' and key in results}
        image, before = results['img'], results.get('scale_factor')
        results = resize_sample(results, size, (down * across) ** 0.5 if self.rescale_values else 1, self.image_dtype)
        results.update(kept)
        if self.image_interpolation != 'bilinear':
            results['img'] = _RESIZERS[self.image_interpolation](image, size, self.image_dtype)
        if self.eval_at == 'input':
            results['ori_shape'] = size
        if self.eval_at == 'input' or not self.rescale_values:
            results.pop('scale_factor')
            if self.eval_at != 'input' and before is not None:  # what was done before has to be undone all the same
                results['scale_factor'] = before
        return results


def _lanczos(image: np.ndarray, size: tuple[int, int], image_dtype: str) -> np.ndarray:
    return np.asarray(Image.fromarray(image).resize(size[::-1], Image.LANCZOS))


def _cubic(image: np.ndarray, size: tuple[int, int], image_dtype: str) -> np.ndarray:
    resized = cv2.resize(image.astype(np.float32), size[::-1], interpolation=cv2.INTER_CUBIC)
    return resized if image_dtype == 'float32' else to_pixels(resized)


_RESIZERS = dict(bilinear=None, lanczos=_lanczos, cubic=_cubic)


def resize_sample(results: dict, size: tuple[int, int], scale: float, image_dtype: str = 'uint8') -> dict:
    """Resize image and targets to ``size`` (H, W), and tell the tasks that the image grew by ``scale``.

    ``scale_factor`` (w, h) in the results is multiplied by the change.
    """
    image, tasks = results['img'], results['tasks']
    height, width = image.shape[:2]
    resized = cv2.resize(image.astype(np.float32), size[::-1], interpolation=cv2.INTER_LINEAR)
    results['img'] = resized.astype(image.dtype if image.dtype.kind == 'f' else image_dtype, copy=False)
    for name, target in results.get('targets', {}).items():
        results['targets'][name] = _resize_target(target, tasks[name], size, scale)
    before = results.get('scale_factor', (1.0, 1.0))
    results['scale_factor'] = (before[0] * size[1] / width, before[1] * size[0] / height)
    results['img_shape'] = size
    intrinsics.resized(results, size[0] / height, size[1] / width)
    return results


def _resize_target(target: np.ndarray, task: Task, size: tuple[int, int], scale: float) -> np.ndarray:
    if task.interpolation == 'bilinear':
        return _interpolate_labelled(target, task, size, scale)
    resized = resample_label(target, task, lambda x, flag: cv2.resize(x, size[::-1], interpolation=flag))
    if task.interpolation == 'cubic':
        resized = task.refine_values(resized)
    return task.rescale_values(resized, scale)


def _interpolate_labelled(target: np.ndarray, task: Task, size: tuple[int, int], scale: float) -> np.ndarray:
    """Bilinear among the labelled pixels only; not labelled where less than half of the weight is."""
    marked = torch.from_numpy(np.atleast_3d(task.mask_values(target.copy())).transpose(2, 0, 1).copy())
    valid = task.valid_mask(marked)[0].numpy().astype(np.float32)
    known = valid.astype(bool) if target.ndim == 2 else valid.astype(bool)[..., None]
    weight = cv2.resize(valid, size[::-1], interpolation=cv2.INTER_LINEAR)
    total = cv2.resize(np.where(known, target, 0).astype(np.float32), size[::-1], interpolation=cv2.INTER_LINEAR)
    share = np.maximum(weight, 1e-6) if target.ndim == 2 else np.maximum(weight, 1e-6)[..., None]
    values = total / share
    if np.issubdtype(target.dtype, np.integer):
        values = np.rint(values)
    values = task.rescale_values(values.astype(target.dtype), scale)
    labelled = weight >= 0.5
    ignored = np.asarray(task.ignore_value, dtype=values.dtype)
    return np.where(labelled if target.ndim == 2 else labelled[..., None], values, ignored)
