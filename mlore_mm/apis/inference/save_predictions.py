"""Raw predictions in files that other programs read."""

from pathlib import Path

import cv2
from mmengine.hooks import Hook

from mlore_mm.structures import MultiTaskDataSample
from mlore_mm.tasks import TaskSet
from mlore_mm.utils.whole_files import write_array, write_whole


def save_predictions(sample: MultiTaskDataSample, tasks: TaskSet, out_dir: str | Path, name: str) -> dict[str, Path]:
    """Write what was predicted for one image, a file per task as ``out_dir/<task>/<name>.png`` or ``.npy``.

    Each task says how its values are stored (``Task.to_file``): class ids and probabilities times 255 as 8-bit PNG,
    depth in millimetres as 16-bit PNG, all else as a float32 array of NumPy.

    Args:
        sample: A sample with ``pred``; tasks that were not predicted are left out.
        tasks: The tasks, by name.
        out_dir: The folder.
        name: Name of the files, without suffix.

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
        files[task_name] = path = Path(out_dir) / task_name / f'{name}{suffix}'
        if suffix == '.npy':
            write_array(path, values)
        else:
            write_whole(path, cv2.imencode(suffix, values)[1].tobytes(), lasting=False)
    return files


class PredictionWriter(Hook):
    """Writes the predictions of every test image with :func:`save_predictions`."""

    def __init__(self, out_dir: str | Path) -> None:
        self.out_dir = out_dir

    def after_test_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        tasks = TaskSet(runner.test_dataloader.dataset.metainfo['tasks'])
        for sample in outputs or []:
            name = sample.get('sample_id') or Path(sample.img_path).stem
            save_predictions(sample, tasks, self.out_dir, str(name).replace('/', '_'))
