"""Draws panels of predictions beside their ground truth while a model is validated or tested."""

import logging
from pathlib import Path
from urllib.parse import quote

import numpy as np
from mmengine.fileio import get
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.visualization import Visualizer

from mlore_mm.datasets.channel_images import picture_of
from mlore_mm.datasets.image_io import decode_image
from mlore_mm.registry import HOOKS
from mlore_mm.structures import MultiTaskDataSample, file_name
from mlore_mm.utils.whole_files import write_picture
from mlore_mm.visualization.confusion_plot import plot_confusion
from mlore_mm.visualization.routing_plot import figure_to_image


@HOOKS.register_module()
class MultiTaskVisualizationHook(Hook):
    """Draws every ``interval``-th validation image and every test image.

    Validation panels carry the image's name, so that TensorBoard shows the same image over the course of training.
    In a distributed run each process draws its own images of a test into ``out_dir``, none is left out.

    Confusion matrices are drawn whether or not panels are, see :func:`draw_confusions`.

    Args:
        draw: Whether to draw at all.
        interval: Distance between two drawn images in validation, in images.
        show: Open a window for each panel.
        wait_time: Seconds that a window stays open, 0 for ever.
        out_dir: Folder of the test panels, one PNG per image; where None the visualizer's backends store them.
        backend_args: Of mmengine's file reader, for images that are not local files.
    """

    def __init__(
        self,
        draw: bool = False,
        interval: int = 50,
        show: bool = False,
        wait_time: float = 0.0,
        out_dir: str | None = None,
        backend_args: dict | None = None,
    ) -> None:
        if interval < 1:
            raise ValueError(f'The visualization hook draws every interval-th image, but interval={interval}.')
        self.draw, self.interval = draw, interval
        self.show, self.wait_time = show, wait_time
        self.out_dir = None if out_dir is None else Path(out_dir)
        self.backend_args = backend_args
        self._seen = 0

    def before_val_epoch(self, runner) -> None:
        self._seen = 0

    def before_test_epoch(self, runner) -> None:
        self._seen = 0

    def after_val_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        for sample in outputs or []:
            if self.draw and self._seen % self.interval == 0:
                self._add(runner.visualizer, f'val_{name_of(sample)}', sample, runner.iter)
            self._seen += 1

    def after_test_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        if not self.draw:
            return
        for sample in outputs or []:
            self._seen += 1
            out_file = None if self.out_dir is None else self.out_dir / f'{file_name(sample)}.png'
            self._add(runner.visualizer, f'test_{name_of(sample)}', sample, self._seen, out_file)

    def after_val_epoch(self, runner, metrics=None) -> None:
        draw_confusions(runner.val_evaluator)

    def after_test_epoch(self, runner, metrics=None) -> None:
        draw_confusions(runner.test_evaluator)

    def _add(
        self, visualizer: Visualizer, name: str, sample: MultiTaskDataSample, step: int, out_file: Path | None = None
    ) -> None:
        # By the readers of data sets, so that the panel shows what the network saw.
        if Path(sample.img_path).is_file():
            image = picture_of(sample.img_path)
        else:
            image = decode_image(get(sample.img_path, backend_args=self.backend_args), sample.img_path, strict=False)
        image = np.ascontiguousarray(image[..., ::-1])
        visualizer.add_datasample(
            name,
            image,
            sample,
            show=self.show,
            wait_time=self.wait_time,
            out_file=None if out_file is None else str(out_file),
            step=step,
        )


def draw_confusions(evaluator) -> list[Path]:
    """A confusion matrix beside ``evaluation.json`` for every task whose metric has ``per_class=True``."""
    written = getattr(evaluator, 'written', None)
    paths = []
    for task, (names, counts) in evaluator.confusions.items() if written else ():
        path = written.with_name(f'confusion_{task}.png')
        try:
            write_picture(path, figure_to_image(plot_confusion(task, counts, names)))
        except ValueError as error:  # a full disk ends no training
            print_log(str(error), 'current', logging.WARNING)
            continue
        print_log(f'Wrote {path}', 'current')
        paths.append(path)
    return paths


def name_of(sample: MultiTaskDataSample) -> str:
    """A name of this image without folders, for the backends; no two images of a data set share one."""
    return quote(file_name(sample), safe=' ')
