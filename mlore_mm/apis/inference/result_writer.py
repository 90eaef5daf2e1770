"""Results of the inferencer: in memory, and as files with an index."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from mlore_mm.apis.inference.save_predictions import save_predictions
from mlore_mm.structures import MultiTaskDataSample
from mlore_mm.tasks import TaskResult, TaskSet
from mlore_mm.utils.whole_files import write_picture, write_whole
from mlore_mm.version import __version__
from mlore_mm.visualization import draw_tasks
from mlore_mm.visualization.panels import MAX_SIDE

OUTPUTS = ('panels', 'pictures', 'raw')


@dataclass(frozen=True, eq=False)
class ImageResult(Mapping):
    """What was predicted for one picture: task name to :class:`TaskResult`, in the order of the tasks.

    Args:
        name: Stem of its files.
        label: Its path or URL, or what else it is.
        image: (H, W, 3) uint8, RGB, upright.
        sample: The data sample with ``pred`` as tensors (C, H, W).
        tasks: The tasks that were predicted.
        files: Files that were written.
    """

    name: str
    label: str
    image: np.ndarray
    sample: MultiTaskDataSample
    tasks: TaskSet
    files: dict[str, str] = field(default_factory=dict)

    def __repr__(self) -> str:
        height, width = self.image.shape[:2]
        return f'ImageResult({self.label}, {width}x{height}: {", ".join(self)})'

    def __getitem__(self, task: str) -> TaskResult:
        return self.tasks[task].result(self.array(task))

    def __iter__(self) -> Iterator[str]:
        return iter(self.tasks)

    def __len__(self) -> int:
        return len(self.tasks)

    def array(self, task: str) -> np.ndarray:
        """The prediction as the task's own methods take it, (C, H, W)."""
        return self.sample.pred.get(self.tasks[task].name).float().numpy()

    def not_finite(self) -> dict[str, float]:
        """Share of the pixels whose prediction is NaN or infinite, for the tasks that have any."""
        masks = {name: task.finite_mask(self.sample.pred.get(name)) for name, task in self.tasks.items()}
        return {name: 1 - mask.float().mean().item() for name, mask in masks.items() if not mask.all()}

    def panel(self) -> np.ndarray:
        """Photo and predictions side by side with legends, (height, width, 3) uint8 RGB."""
        # Large pictures are thinned out first: a panel shows them small, and drawing every pixel would take seconds.
        step = max(1, max(self.image.shape[:2]) // MAX_SIDE)
        maps = {name: self.array(name)[:, ::step, ::step] for name in self.tasks}
        size = next(iter(maps.values())).shape[-2:]
        image = self.image if step == 1 else cv2.resize(self.image, size[::-1], interpolation=cv2.INTER_AREA)
        return draw_tasks(image, self.tasks, maps)

    def picture(self, task: str) -> np.ndarray:
        """One prediction drawn in its task's colours, (H, W, 3) uint8 RGB."""
        values = self.array(task)
        return self.tasks[task].draw(values, self.tasks[task].value_range(values))


class ResultWriter:
    """Writes results below a folder, and ``index.json`` that says what every file is.

    - ``panels/<name>.png``: photo and predictions side by side;
    - ``pictures/<task>/<name>.png``: each prediction in colours, at the size of the photo;
    - ``raw/<task>/<name>.png`` or ``.npy``: the numbers, see :func:`save_predictions`.

    Args:
        out_dir: The folder.
        outputs: Which of the three.
        about: What the index says about model and run.

    Raises:
        ValueError: Another output than the three.
    """

    def __init__(self, out_dir: str | Path, outputs=OUTPUTS, about: dict | None = None) -> None:
        unknown = set(outputs) - set(OUTPUTS)
        if unknown:
            raise ValueError(f'Outputs are {", ".join(OUTPUTS)}, but got {", ".join(sorted(unknown))}.')
        self.out_dir, self.outputs = Path(out_dir), tuple(outputs)
        self.index = dict(mlore_mm=__version__, **(about or {}), images=[], failed=[])

    def write(self, result: ImageResult) -> None:
        """Write one picture's files; their paths, relative to the folder, go into ``result.files`` and the index."""
        entry = dict(name=result.name, source=result.label, size=list(result.image.shape[:2]))
        if 'panels' in self.outputs:
            entry['panel'] = self._save(f'panels/{result.name}.png', result.panel())
        raw = {}
        if 'raw' in self.outputs:
            raw = save_predictions(result.sample, result.tasks, self.out_dir / 'raw', result.name)
        entry['tasks'] = {}
        for task, values in result.items():
            files = {}
            if 'pictures' in self.outputs:
                files['picture'] = self._save(f'pictures/{task}/{result.name}.png', result.picture(task))
            if task in raw:
                files['raw'] = raw[task].relative_to(self.out_dir).as_posix()
            entry['tasks'][task] = dict(kind=values.kind, **files, summary=values.summary())
            result.files.update({f'{task}/{what}': file for what, file in files.items()})
        if 'panel' in entry:
            result.files['panel'] = entry['panel']
        if shares := result.not_finite():
            entry['not_finite'] = shares
        self.index['images'].append(entry)

    def failed(self, label: str, reason: str) -> None:
        """Note a picture that could not be used."""
        self.index['failed'].append(dict(source=label, reason=reason))

    def close(self) -> Path:
        """Write the index; its path."""
        path = self.out_dir / 'index.json'
        write_whole(path, json.dumps(self.index, indent=1, default=str) + '\n', lasting=False)
        return path

    def _save(self, name: str, picture: np.ndarray) -> str:
        write_picture(self.out_dir / name, picture)
        return name
