"""Small data sets written to a folder; not a test by itself."""

from pathlib import Path

import cv2
import numpy as np
import scipy.io

from mlore_mm.datasets import MultiTaskDataset
from mlore_mm.registry import TRANSFORMS

TASKS = dict(
    semseg=dict(type='SemSeg', out_channels=5),
    depth=dict(type='Depth'),
    normals=dict(type='SurfaceNormals'),
)
LABELS = dict(
    semseg=dict(type='IdMapReader', dir='labels'),
    depth=dict(type='NpyReader', dir='depth'),
    normals=dict(type='VectorReader', dir='normals'),
)
PIPELINE = [dict(type='LoadMultiTaskImage'), dict(type='LoadMultiTaskLabels'), dict(type='PackMultiTaskInputs')]


def write_archive(root: Path, ids=('a', 'b', 'c'), size=(12, 16), suffix='.png') -> Path:
    """Images and labels of ``TASKS``; semseg is the index of the sample everywhere."""
    rng = np.random.default_rng(0)
    for index, name in enumerate(ids):
        write_image(root / 'images' / f'{name}{suffix}', rng.integers(0, 256, (*size, 3), dtype=np.uint8))
        write_image(root / 'labels' / f'{name}.png', np.full(size, index % 5, dtype=np.uint8))
        write_image(root / 'normals' / f'{name}.png', rng.integers(0, 256, (*size, 3), dtype=np.uint8))
        write_npy(root / 'depth' / f'{name}.npy', rng.uniform(0.5, 9, size).astype(np.float32))
    return root


def build(root: Path, tasks=TASKS, labels=LABELS, pipeline=PIPELINE, img_suffix='.png', **kwargs) -> MultiTaskDataset:
    steps = [TRANSFORMS.build(step) for step in pipeline]
    return MultiTaskDataset(
        str(root), metainfo=dict(tasks=tasks), labels=labels, pipeline=steps, img_suffix=img_suffix, **kwargs
    )


def write_image(path: Path, array: np.ndarray) -> Path:
    """A photo or map; three channels are red, green, blue."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(path.suffix, array[..., ::-1] if array.ndim == 3 else array)[1].tobytes())
    return path


def write_npy(path: Path, array: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, array)
    return path


def write_mat(path: Path, **content) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    scipy.io.savemat(path, content)
    return path


def records(rows: list[tuple], names: tuple[str, ...]) -> np.ndarray:
    """A struct array as in the files of PASCAL-Part; without rows, an empty matrix."""
    if not rows:
        return np.zeros((0, 0))
    array = np.empty((1, len(rows)), dtype=[(name, object) for name in names])
    array[0, :] = rows
    return array


def annotation(*objects: tuple[int, np.ndarray, list[tuple[str, np.ndarray]]]) -> dict:
    """The struct ``anno`` from (class number, mask, parts)."""
    rows = [('thing', index, mask, records(parts, ('part_name', 'mask'))) for index, mask, parts in objects]
    return dict(imname='x', objects=records(rows, ('class', 'class_ind', 'mask', 'parts')))
