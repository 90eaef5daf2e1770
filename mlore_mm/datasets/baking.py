"""Turn the slow label files of PASCAL-Context into PNGs that read to the same arrays."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import cv2
import numpy as np

from mlore_mm.datasets.pascal_context import PASCALContextDataset
from mlore_mm.registry import LABEL_READERS

BAKED_TASKS = ('human_parts', 'normals', 'edge')


def bake(
    root: str, ids: Sequence[str], tasks: Sequence[str] = BAKED_TASKS, workers: int = 2, overwrite: bool = False
) -> Iterator[tuple[str, list[str], int]]:
    """Bake the labels of every sample, in several processes.

    A baked file that is newer than what it was made from is kept. Every written file is read back and compared.

    Yields:
        Sample id, messages about what went wrong, and the number of files written.
    """
    work = partial(bake_sample, root, tasks=tuple(tasks), overwrite=overwrite)
    if workers < 2:
        yield from map(work, ids)
        return
    with ProcessPoolExecutor(workers) as pool:
        yield from pool.map(work, ids, chunksize=8)


def bake_sample(
    root: str, sample_id: str, tasks: Sequence[str] = BAKED_TASKS, overwrite: bool = False
) -> tuple[str, list[str], int]:
    """See :func:`bake`."""
    problems, written = [], 0
    for task in tasks:
        try:
            written += _bake_label(root, sample_id, task, overwrite)
        except ValueError as error:
            problems.append(str(error))
    return sample_id, problems, written


def _bake_label(root: str, sample_id: str, task: str, overwrite: bool) -> bool:
    """Whether a file was written."""
    fast, slow = (LABEL_READERS.build(dict(config)) for config in PASCALContextDataset.LABELS[task])
    sources, (goal,) = slow.paths(root, sample_id), fast.paths(root, sample_id)
    if not overwrite and os.path.exists(goal) and os.path.getmtime(goal) >= _newest(sources):
        return False
    label = slow.read(*sources)
    if label is None:  # a file that says nothing about its image stays as it is
        return False
    _write_png(goal, fast.encode(label))
    if not np.array_equal(fast.read(goal), label):
        os.remove(goal)
        raise ValueError(f'{sources[0]}: the baked {goal} reads to another array and was removed. Please report this.')
    return True


def _newest(paths: Sequence[str]) -> float:
    try:
        return max(map(os.path.getmtime, paths))
    except OSError as error:
        raise ValueError(f'Cannot read {error.filename}: {error.strerror}.') from error


def _write_png(path: str, pixels: np.ndarray) -> None:
    """Whole or not at all, so that an interrupted run leaves no half file behind."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    if pixels.ndim == 3:
        pixels = cv2.cvtColor(pixels, cv2.COLOR_RGBA2BGRA)
    _, data = cv2.imencode('.png', pixels)
    partial_path = f'{path}.{os.getpid()}.tmp'
    with open(partial_path, 'wb') as file:
        file.write(data)
    os.replace(partial_path, path)
