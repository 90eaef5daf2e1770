"""Read the image and the labels of a sample."""

from collections.abc import Sequence

import numpy as np
from mmcv.transforms import BaseTransform

from mlore_mm.datasets.channel_images import read_channels
from mlore_mm.datasets.image_io import read_image
from mlore_mm.datasets.label_readers import LabelReader
from mlore_mm.datasets.label_readers.no_label import fill
from mlore_mm.registry import TRANSFORMS
from mlore_mm.tasks import Task


@TRANSFORMS.register_module()
class LoadMultiTaskImage(BaseTransform):
    """Read ``img_path`` into ``img``, (H, W, 3) uint8 BGR, and set ``ori_shape`` and ``img_shape``, (H, W).

    Unlike mmcv's ``LoadImageFromFile`` it refuses a truncated file, and does not turn the image by its EXIF tag,
    because the labels are not turned either.

    Args:
        strict: What the decoder reports as corrupt is an error, see :func:`read_image`.
        channels: Another number than 3 reads arrays, TIFF and PNG files of so many channels, see
            :func:`read_channels`; ``in_channels`` of the encoder and ``mean`` and ``std`` of the data preprocessor have
            to agree.
    """

    def __init__(self, strict: bool = True, channels: int = 3) -> None:
        self.strict, self.channels = strict, channels

    def transform(self, results: dict) -> dict:
        path = results['img_path']
        if self.channels != 3 or str(path).lower().endswith('.npy'):
            image = read_channels(path, self.channels)
        else:
            image = read_image(path, self.strict)
        results['img'] = image
        results['img_shape'] = results['ori_shape'] = image.shape[:2]
        return results


@TRANSFORMS.register_module()
class LoadMultiTaskLabels(BaseTransform):
    """Read the label of every task into ``targets``, a dict of arrays (H, W) or (H, W, C) at ``ori_shape``.

    A task without a label gets its empty target. In a training pipeline this stands right after loading the image; in
    a test pipeline after padding, so that labels keep the size of the original image.

    Args:
        check_values: Let the task check the values. It costs about 3% of a training pipeline's time.

    Raises:
        ValueError: Naming the file: it is missing or unreadable, its size is not the image's, it has another number
            of channels, or values that mean nothing.
    """

    def __init__(self, check_values: bool = True) -> None:
        self.check_values = check_values

    def transform(self, results: dict) -> dict:
        height, width = results['ori_shape'][:2]
        targets = {}
        for name, task in results['tasks'].items():
            reader, paths = results['label_files'].get(name) or (None, ())
            target = None if reader is None else read_label(reader, paths)
            if target is None:
                targets[name] = task.empty_target(height, width)
                continue
            path, values = paths[0], self.check_values
            targets[name] = check_label(target, task, (height, width), path, results['img_path'], values)
        results['targets'] = targets
        return results


def read_label(reader: LabelReader, paths: Sequence[str]) -> np.ndarray | None:
    """What ``reader`` makes of the files.

    Raises:
        ValueError: Naming the file, whatever kind of error the reader ends in.
    """
    try:
        return reader.read(*paths)
    except Exception as error:
        if isinstance(error, ValueError) and any(path in str(error) for path in paths):
            raise
        raise ValueError(f'{paths[0]} cannot be read by {reader}: {type(error).__name__}: {error}') from error


def check_label(
    target: np.ndarray, task: Task, size: tuple[int, int], path: str, img_path: str, values: bool = True
) -> np.ndarray:
    """The label in a type that the pipeline carries; a ValueError that names the file where something is wrong."""
    _check_shape(target, task, size, path, img_path)
    target = _cast(fill(target, task.ignore_value), task, path)
    problem = task.check_values(target) if values else None
    if problem:
        raise ValueError(f"Label of task '{task.name}' in {path}: {problem}. {task.cure}".rstrip())
    return target


def _check_shape(target: np.ndarray, task: Task, size: tuple[int, int], path: str, img_path: str) -> None:
    if target.shape[:2] != size:
        turned = ''
        if target.shape[:2] == size[::-1]:
            turned = ' One is turned against the other by a rotation: has the photo an EXIF tag that viewers follow?'
        raise ValueError(
            f"Label of task '{task.name}' in {path} is {target.shape[0]}x{target.shape[1]} (HxW), but its image "
            f'{img_path} is {size[0]}x{size[1]}. They have to agree.{turned}'
        )
    channels = 1 if target.ndim == 2 else target.shape[2]
    if channels != task.target_channels:
        raise ValueError(
            f"Label of task '{task.name}' in {path} has {channels} channels, expected {task.target_channels}."
        )


def _cast(target: np.ndarray, task: Task, path: str) -> np.ndarray:
    """To the task's dtype. Bytes stay bytes until packing: they are quicker to move than floats.

    Not where they cannot hold what borders are filled with, such as -1, which would become a class.
    """
    if target.dtype == task.dtype or (target.dtype == np.uint8 and _fits_bytes(task.ignore_value, task.pad_value)):
        return target
    with np.errstate(invalid='ignore'):
        cast = target.astype(task.dtype)
    if cast.dtype.kind in 'iu' and not np.array_equal(cast, target):
        raise ValueError(
            f"Label of task '{task.name}' in {path} holds {target.dtype} numbers from {target.min()} to "
            f'{target.max()}, expected whole numbers that fit {task.dtype}.'
        )
    return cast


def _fits_bytes(*values: float) -> bool:
    return all(0 <= value <= 255 and value == int(value) for value in values)
