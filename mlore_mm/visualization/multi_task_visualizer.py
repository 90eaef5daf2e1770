"""Draws every task of an image, prediction beside ground truth."""

import logging
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from mmengine.dist import is_main_process
from mmengine.logging import print_log
from mmengine.structures import PixelData
from mmengine.visualization import Visualizer
from torch import Tensor

from mlore_mm.registry import VISUALIZERS
from mlore_mm.structures import MultiTaskDataSample
from mlore_mm.tasks import Task, TaskSet
from mlore_mm.tasks.drawing import draw_scalar
from mlore_mm.utils.whole_files import explain_disk, write_picture
from mlore_mm.visualization.panels import Bar, Cell, Chips, Column, compose, stripes

ERROR_COLORMAP = 'Reds'
IGNORED = ('ignored', None)  # the entry of a legend for striped pixels


@VISUALIZERS.register_module()
class MultiTaskVisualizer(Visualizer):
    """Draws panels: the photo, then a column per task with its prediction, ground truth and error.

    It takes the tasks from ``dataset_meta``, which mmengine's loops set. Drawing rules are those of the tasks
    (``Task.draw``, ``legend``, ``value_range`` and ``error``).
    """

    _told = False

    @property
    def dataset_meta(self) -> dict | None:
        return self._dataset_meta

    @dataset_meta.setter
    def dataset_meta(self, meta: dict) -> None:
        # mmengine sets it on the main process only, but in a test every process draws its own images.
        self._dataset_meta = meta

    # ---- curves: a disk that is full must not end a training ------------------------------------------------------
    def add_config(self, config, **options) -> None:
        self._patiently(super().add_config, config, **options)

    def add_scalar(self, name, value, step: int = 0, **options) -> None:
        self._patiently(super().add_scalar, name, value, step, **options)

    def add_scalars(self, scalar_dict: dict, step: int = 0, **options) -> None:
        self._patiently(super().add_scalars, scalar_dict, step, **options)

    def add_image(self, name: str, image: np.ndarray, step: int = 0) -> None:
        self._patiently(super().add_image, name, image, step)

    def close(self) -> None:
        self._patiently(super().close)

    def _patiently(self, write, *args, **options) -> None:
        try:
            write(*args, **options)
        except OSError as error:
            if not self._told:
                print_log(
                    f'Curves and pictures cannot be written, and are left out from here on where that is so: '
                    f'{explain_disk(error) or error}',
                    'current',
                    logging.WARNING,
                )
            self._told = True

    def add_datasample(
        self,
        name: str,
        image: np.ndarray,
        data_sample: MultiTaskDataSample | None = None,
        draw_gt: bool = True,
        draw_pred: bool = True,
        show: bool = False,
        wait_time: float = 0,
        out_file: str | None = None,
        step: int = 0,
        draw_error: bool = True,
    ) -> None:
        """Draw one image's panel and show it, write it to ``out_file``, or hand it to the backends.

        Args:
            name: Title of the window and tag of the backends.
            image: The photo (H, W, 3), uint8 RGB.
            data_sample: Its ``gt`` and ``pred``, whatever is there.
            draw_gt: Draw the ground truth.
            draw_pred: Draw the predictions.
            show: Open a window.
            wait_time: Seconds that the window stays open, 0 for ever.
            out_file: Write the panel there and not to the backends.
            step: Step of the backends.
            draw_error: Draw the error of the predictions, where there is ground truth as well.
        """
        if not (is_main_process() or out_file):
            return
        if not (self.dataset_meta or {}).get('tasks'):
            raise ValueError("The visualizer does not know the tasks: set dataset_meta = dict(tasks={'depth': ...}).")
        tasks = TaskSet(self.dataset_meta['tasks'])
        pred = getattr(data_sample, 'pred', None) if draw_pred else None
        gt = getattr(data_sample, 'gt', None) if draw_gt else None
        panel = draw_tasks(image, tasks, pred, gt, draw_error, _missing(tasks, data_sample))
        self.set_image(panel)
        if show:
            self.show(panel, win_name=name, wait_time=wait_time)
        if out_file:
            write_picture(out_file, panel)
        else:
            self.add_image(name, panel, step)


def draw_tasks(
    image: np.ndarray,
    tasks: TaskSet,
    pred: PixelData | Mapping[str, Tensor] | None = None,
    gt: PixelData | Mapping[str, Tensor] | None = None,
    draw_error: bool = True,
    missing: Sequence[str] = (),
) -> np.ndarray:
    """The panel of one image, (height, width, 3) uint8 RGB.

    Args:
        image: The photo (H, W, 3), uint8 RGB.
        tasks: Drawn in this order, those that are in ``pred``, or in ``gt`` where there are no predictions at all.
        pred: Predictions (C, H, W) by task.
        gt: Labels (C, H, W) by task.
        draw_error: Add a row of errors where both are there.
        missing: Tasks without a label file for this image, whose label in ``gt`` is a filler. They have a grey area;
            a label that is there with every pixel ignored is striped and says so.
    """
    columns = [Column([Cell('photo', image)])]
    for name, task in tasks.items():
        if pred is not None and name not in pred:
            continue  # labels of a task that was not asked for
        maps = {}
        for caption, source in (('prediction', pred), ('ground truth', gt)):
            if source is not None and name in source:
                maps[caption] = _array(source.get(name))
        if maps:
            columns.append(_task_column(task, maps, draw_error, name in missing))
    return compose(columns, image.shape[:2])


def draw_overlays(
    image: np.ndarray, tasks: TaskSet, gt: PixelData | Mapping[str, Tensor], opacity: float = 0.6
) -> np.ndarray:
    """The image, then each task's label laid over it, side by side, (height, width, 3) uint8 RGB.

    Ignored pixels show the image below grey stripes.

    Args:
        image: (H, W, 3), uint8 RGB.
        tasks: Drawn in this order.
        gt: Labels (C, H, W) by task.
        opacity: Of the labels, 0 to 1.
    """
    columns = [Column([Cell('image', image)])]
    for name, task in tasks.items():
        values = _array(gt.get(name))
        ignored, value_range = _ignored(task, values), task.value_range(values)
        picture = np.where(ignored[..., None], stripes(*ignored.shape), task.draw(values, value_range))
        picture = (opacity * picture + (1 - opacity) * image + 0.5).astype(np.uint8)
        column = Column([Cell(f'{name}: {100 * ignored.mean():.0f}% ignored', picture)])
        if ignored.any():
            columns[0].legends = [Chips([IGNORED])]
        chips = _legend(task, values, ignored)
        if chips:
            column.legends.append(Chips(chips))
        if task.colormap:
            column.legends.append(Bar(task.colormap, *value_range, task.values_unit))
        columns.append(column)
    return compose(columns, image.shape[:2])


def _missing(tasks: TaskSet, sample: MultiTaskDataSample | None) -> list[str]:
    """The tasks of which a sample says that there is no label file."""
    paths = getattr(sample, 'label_paths', None)
    return [] if paths is None else [name for name in tasks if not paths.get(name)]


def _legend(task: Task, values: np.ndarray, ignored: np.ndarray) -> list[tuple[str, tuple | None]]:
    """What the colours of the pixels mean that are not striped."""
    return [] if ignored.all() else task.legend(values[:, None, ~ignored])


def _task_column(task: Task, maps: dict[str, np.ndarray], draw_error: bool, missing: bool = False) -> Column:
    """Prediction and ground truth drawn with the same colours, then the error where it can be had."""
    value_range = task.value_range(*maps.values())
    column, shown = Column([]), []
    striped = False
    for caption, values in maps.items():
        is_label = caption == 'ground truth'
        ignored = _ignored(task, values) if is_label else np.zeros(values.shape[1:], bool)
        if is_label and missing and ignored.all():
            column.cells.append(Cell(f'{task.name}: {caption}', None, 'no label file'))
            continue
        picture = np.where(ignored[..., None], stripes(*ignored.shape), task.draw(values, value_range))
        note = 'all ignored' if ignored.all() else ''
        column.cells.append(Cell(f'{task.name}: {caption}', picture.astype(np.uint8), note))
        shown.append(values[:, None, ~ignored])
        striped |= bool(ignored.any())
    shown = [values for values in shown if values.size]
    chips = [*(task.legend(*shown) if shown else []), *([IGNORED] if striped else [])]
    if chips:
        column.legends.append(Chips(chips))
    if task.colormap:
        column.legends.append(Bar(task.colormap, *value_range, task.values_unit))
    if draw_error and len(maps) == 2:
        _add_error(column, task, *maps.values())
    return column


def _ignored(task: Task, values: np.ndarray) -> np.ndarray:
    """(H, W) bool: the pixels of a label (C, H, W) that say nothing."""
    return ~task.valid_mask(torch.from_numpy(values))[0].numpy()


def _add_error(column: Column, task: Task, pred: np.ndarray, gt: np.ndarray) -> None:
    """A cell with the error from white to red, striped where it is not known, and its bar unless it is yes or no."""
    caption = f'{task.name}: error'
    error = task.error(pred, gt) if pred.shape[1:] == gt.shape[1:] else np.full(gt.shape[1:], np.nan)
    known = np.isfinite(error)
    if not known.any():
        column.cells.append(Cell(caption, None, 'nothing to compare with'))
        return
    limit = task.error_limit or max(float(np.percentile(error[known], 99)), 1e-6)
    colours = draw_scalar(np.where(known, error, 0), 0, limit, ERROR_COLORMAP)
    picture = np.where(known[..., None], colours, stripes(*known.shape))
    mean = error[known].mean()
    if task.error_unit is None:
        caption += f', {100 * mean:.3g}% wrong'
    else:
        caption += f', mean {mean:.3g} {task.error_unit}'.rstrip()
        column.legends.append(Bar(ERROR_COLORMAP, 0, limit, task.error_unit, 'error'))
    column.cells.append(Cell(caption, picture.astype(np.uint8)))


def _array(values: Tensor | np.ndarray) -> np.ndarray:
    return values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)
