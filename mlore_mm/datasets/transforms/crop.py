"""Cut a window out of an image and its labels."""

import cv2
import numpy as np
from mmcv.transforms import BaseTransform
from mmcv.transforms.utils import cache_randomness

from mlore_mm.datasets import intrinsics
from mlore_mm.datasets.label_readers.no_label import say_once
from mlore_mm.registry import TRANSFORMS
from mlore_mm.tasks import ClassMap

_TRIES = 10


@TRANSFORMS.register_module()
class MultiTaskRandomCrop(BaseTransform):
    """Cut a window of ``crop_size`` at a random place; sides that are shorter stay whole.

    Another window is drawn, up to 10 times, while one class covers too much of the labelled pixels.

    Args:
        crop_size: (H, W).
        cat_max_ratio: Largest share of one class; 1 takes the first window.
        task: The task whose classes are counted; the first class map of the task set by default. Without one, the
            first window is taken, which is said where a task was named.

    Raises:
        ValueError: ``task`` is no class map.
    """

    def __init__(self, crop_size: tuple[int, int], cat_max_ratio: float = 0.75, task: str | None = None) -> None:
        if min(crop_size) < 1 or not 0 < cat_max_ratio <= 1:
            raise ValueError(f'Cannot crop to {tuple(crop_size)} with cat_max_ratio={cat_max_ratio}.')
        self.crop_size, self.cat_max_ratio, self.task = tuple(crop_size), cat_max_ratio, task

    def transform(self, results: dict) -> dict:
        window = self.draw(results)
        results['img'] = results['img'][window]
        results['img_shape'] = results['img'].shape[:2]
        intrinsics.shifted(results, -window[0].start, -window[1].start)
        for name, target in results['targets'].items():
            results['targets'][name] = target[window]
        return results

    @cache_randomness
    def draw(self, results: dict) -> tuple[slice, slice]:
        shape = results['img'].shape[:2]
        window = self._draw_window(shape)
        counted = self._counted_task(results['tasks']) if self.cat_max_ratio < 1 else None
        if counted is None:
            return window
        ids, task = results['targets'][counted], results['tasks'][counted]
        for _ in range(_TRIES):
            if _largest_share(ids[window], task) < self.cat_max_ratio:
                break
            window = self._draw_window(shape)
        return window

    def _draw_window(self, shape: tuple[int, int]) -> tuple[slice, slice]:
        margins = (max(side - crop, 0) for side, crop in zip(shape, self.crop_size, strict=True))
        starts = [np.random.randint(0, margin + 1) for margin in margins]  # noqa: NPY002
        return tuple(slice(start, start + crop) for start, crop in zip(starts, self.crop_size, strict=True))

    def _counted_task(self, tasks) -> str | None:
        if self.task is not None:
            if self.task not in tasks:
                say_once(
                    f'crop {self.task} {list(tasks)}',
                    f"MultiTaskRandomCrop(task='{self.task}') counts no classes, as the tasks are {list(tasks)}: the "
                    'first window is taken.',
                )
                return None
            if not isinstance(tasks[self.task], ClassMap):
                maps = [name for name, task in tasks.items() if isinstance(task, ClassMap)]
                raise ValueError(f"MultiTaskRandomCrop(task='{self.task}') needs a task of classes, such as {maps}.")
            return self.task
        return next((name for name, task in tasks.items() if isinstance(task, ClassMap)), None)


@TRANSFORMS.register_module()
class MultiTaskCentreCrop(BaseTransform):
    """Cut the middle out of an image and of the labels that are loaded by then; predictions are scored on it.

    Where image and window differ by an odd number, the window lies nearer to the top left.

    Args:
        crop_size: (H, W); sides that are shorter stay whole.

    Raises:
        ValueError: The image was resized before, and predictions would be brought back to the size of the file.
    """

    def __init__(self, crop_size: tuple[int, int]) -> None:
        self.crop_size = tuple(crop_size)

    def transform(self, results: dict) -> dict:
        if 'scale_factor' in results:
            raise ValueError(
                'MultiTaskCentreCrop cuts what predictions are scored on. Give the MultiTaskResize before it '
                '`scored_here=True`.'
            )
        shape = results['img'].shape[:2]
        starts = [max(side - crop, 0) // 2 for side, crop in zip(shape, self.crop_size, strict=True)]
        window = tuple(slice(start, start + crop) for start, crop in zip(starts, self.crop_size, strict=True))
        results['img'] = results['img'][window]
        results['img_shape'] = results['ori_shape'] = results['img'].shape[:2]
        intrinsics.shifted(results, -starts[0], -starts[1])
        results['targets'] = {name: target[window] for name, target in results.get('targets', {}).items()}
        return results


def _largest_share(ids: np.ndarray, task: ClassMap) -> float:
    """Share of the most frequent class among pixels with a label; 1 where there is none."""
    ignored = [int(marker) for marker in task.markers]
    size = max(*ignored, task.out_channels - 1) + 1
    counts = cv2.calcHist([ids], [0], None, [size], [0, size])
    counts[ignored] = 0
    total = counts.sum()
    return counts.max() / total if total else 1.0
