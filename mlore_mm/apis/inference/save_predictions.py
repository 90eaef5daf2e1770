"""Raw predictions in files that other programs read."""

import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from mmengine.dist import is_main_process
from mmengine.hooks import Hook

from mlore_mm.datasets.label_readers import IdMapReader, NpyReader, ScaledReader
from mlore_mm.structures import MultiTaskDataSample, file_name
from mlore_mm.tasks import DenseRegression, Task, TaskSet
from mlore_mm.utils.whole_files import write_array, write_whole


def save_predictions(
    sample: MultiTaskDataSample,
    tasks: TaskSet,
    out_dir: str | Path,
    name: str,
    encoders: Mapping[str, Callable] | None = None,
) -> dict[str, Path]:
    """Write what was predicted for one image, a file per task as ``out_dir/<task>/<name>.png`` or ``.npy``.

    Each task says how its values are stored (``Task.to_file``): class ids and probabilities times 255 as 8-bit PNG,
    depth in millimetres as 16-bit PNG, all else as a float32 array of NumPy.

    Args:
        sample: A sample with ``pred``; tasks that were not predicted are left out.
        tasks: The tasks, by name.
        out_dir: The folder.
        name: Name of the files, without suffix; may hold folders.
        encoders: By task what makes of a prediction (C, H, W) the codes of label files, with the suffix of the file, or
            None where these cannot hold it: then it is written as numbers in the task's unit.

    Returns:
        The file of each task.

    Raises:
        ValueError: The disk is full or cannot be written to; nothing half-written is left.
    """
    files = {}
    for task_name, task in tasks.items():
        if task_name not in sample.pred:
            continue
        pred = sample.pred.get(task_name).detach().cpu().float().numpy()
        encode = (encoders or {}).get(task_name, task.to_file)
        values, suffix = encode(pred) or Task.to_file(task, pred)  # never the codes of another unit beside these
        files[task_name] = path = Path(out_dir) / task_name / f'{name}{suffix}'
        if suffix == '.npy':
            write_array(path, values)
        else:
            write_whole(path, cv2.imencode(suffix, values)[1].tobytes(), lasting=False)
    return files


class PredictionWriter(Hook):
    """Writes the predictions of every test image, see :func:`save_predictions`, and ``index.json`` about them.

    Names are those of the data set with their folders. Numbers are written as the label files have them: class ids
    where the data set reads those by :class:`IdMapReader`, depth and other plain maps where it reads grey pictures by
    :class:`ScaledReader`, or arrays in another unit by :class:`NpyReader`. A map with a number that the codes cannot
    hold is written as plain numbers in the task's unit (``.npy``).
    """

    def __init__(self, out_dir: str | Path) -> None:
        self.out_dir = Path(out_dir)

    def after_test_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        tasks = TaskSet(runner.test_dataloader.dataset.metainfo['tasks'])
        encoders = file_encoders(runner.test_dataloader.dataset, tasks)
        for sample in outputs or []:
            save_predictions(sample, tasks, self.out_dir, file_name(sample), encoders)

    def after_test_epoch(self, runner, metrics=None) -> None:
        if not is_main_process():
            return
        dataset = runner.test_dataloader.dataset
        tasks = TaskSet(dataset.metainfo['tasks'])
        codes = {
            name: 'the codes of the label files; where they cannot hold it NPY: float32 numbers in the unit of the task'
            if isinstance(tasks[name], DenseRegression)
            else 'PNG: the codes of the label files'
            for name in file_encoders(dataset, tasks)
        }
        notes = {name: codes.get(name, task.file_note) for name, task in tasks.items()}
        content = dict(files='<task>/<sample id>', tasks=notes)
        write_whole(self.out_dir / 'index.json', (json.dumps(content, indent=1) + '\n').encode(), lasting=False)


Coded = tuple[np.ndarray, str]


def file_encoders(dataset, tasks: TaskSet) -> dict[str, Callable[[np.ndarray], Coded | None]]:
    """By task what turns predictions into the codes of its label files, see :func:`save_predictions`."""
    while not hasattr(dataset, 'readers') and (hasattr(dataset, 'dataset') or hasattr(dataset, 'datasets')):
        dataset = dataset.dataset if hasattr(dataset, 'dataset') else dataset.datasets[0]
    first = {name: readers[0] for name, readers in getattr(dataset, 'readers', {}).items() if readers}
    encoders = {}
    for name, reader in first.items():
        if isinstance(reader, IdMapReader):
            encoders[name] = partial(_ids, reader, tasks[name])
        elif isinstance(tasks[name], DenseRegression) and _has_codes(reader):
            encoders[name] = partial(_numbers, reader)
    return encoders


def _has_codes(reader) -> bool:
    return isinstance(reader, ScaledReader) or (
        isinstance(reader, NpyReader) and bool(reader.scale != 1 or reader.offset)
    )


def _ids(reader: IdMapReader, task: Task, pred: np.ndarray) -> Coded:
    values, suffix = task.to_file(pred)
    return reader.encode(values), suffix


def _numbers(reader: ScaledReader | NpyReader, pred: np.ndarray) -> Coded | None:
    codes = reader.encode(pred[0] if len(pred) == 1 else pred.transpose(1, 2, 0))
    return None if codes is None else (codes, '.npy' if isinstance(reader, NpyReader) else '.png')
