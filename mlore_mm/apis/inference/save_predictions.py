"""Raw predictions in files that other programs read."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import cv2
from mmengine.dist import is_main_process
from mmengine.hooks import Hook

from mlore_mm.datasets.label_readers import IdMapReader
from mlore_mm.structures import MultiTaskDataSample, file_name
from mlore_mm.tasks import TaskSet
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
        encoders: By task what changes the numbers before they are written, such as ids to the codes of label files.

    Returns:
        The file of each task.

    Raises:
        ValueError: The disk is full or cannot be written to; nothing half-written is left.
    """
    files = {}
    for task_name, task in tasks.items():
        if task_name not in sample.pred:
            continue
        values, suffix = task.to_file(sample.pred.get(task_name).detach().cpu().float().numpy())
        if task_name in (encoders or {}):
            values = encoders[task_name](values)
        files[task_name] = path = Path(out_dir) / task_name / f'{name}{suffix}'
        if suffix == '.npy':
            write_array(path, values)
        else:
            write_whole(path, cv2.imencode(suffix, values)[1].tobytes(), lasting=False)
    return files


class PredictionWriter(Hook):
    """Writes the predictions of every test image, see :func:`save_predictions`, and ``index.json`` about them.

    Names are those of the data set with their folders. Class ids are written as the label files have them, where the
    data set reads those by :class:`IdMapReader`.
    """

    def __init__(self, out_dir: str | Path) -> None:
        self.out_dir = Path(out_dir)

    def after_test_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        tasks = TaskSet(runner.test_dataloader.dataset.metainfo['tasks'])
        encoders = _encoders(runner.test_dataloader.dataset)
        for sample in outputs or []:
            save_predictions(sample, tasks, self.out_dir, file_name(sample), encoders)

    def after_test_epoch(self, runner, metrics=None) -> None:
        if not is_main_process():
            return
        dataset = runner.test_dataloader.dataset
        encoders, tasks = _encoders(dataset), TaskSet(dataset.metainfo['tasks'])
        codes = dict.fromkeys(encoders, 'PNG: the codes of the label files')
        notes = {name: codes.get(name, task.file_note) for name, task in tasks.items()}
        content = dict(files='<task>/<sample id>', tasks=notes)
        write_whole(self.out_dir / 'index.json', (json.dumps(content, indent=1) + '\n').encode(), lasting=False)


def _encoders(dataset) -> dict[str, Callable]:
    """By task what turns ids into the codes of its label files."""
    while not hasattr(dataset, 'readers') and (hasattr(dataset, 'dataset') or hasattr(dataset, 'datasets')):
        dataset = dataset.dataset if hasattr(dataset, 'dataset') else dataset.datasets[0]
    first = {name: readers[0] for name, readers in getattr(dataset, 'readers', {}).items() if readers}
    return {name: reader.encode for name, reader in first.items() if isinstance(reader, IdMapReader)}
