"""Where the label file of a sample lies, and what every reader has to say."""

import os
from abc import ABC, abstractmethod

import numpy as np


class LabelReader(ABC):
    """Labels of one task that lie in one folder and are read by one rule.

    The file of a sample is ``<data_root>/<dir>/<sample_id><suffix>``. Readers hold options and no state.

    Args:
        dir: Folder of the label files, relative to the root of the data set or absolute.
        suffix: What follows the sample id in the file name, '.png' or '_depth.png' for example.
        metric_dir: Folder of the file that a metric with its own ground truth should read instead of this one, for
            labels that were derived from it; ``dir`` by default.
        metric_suffix: Its suffix.
    """

    def __init__(
        self, dir: str, suffix: str = '.png', metric_dir: str | None = None, metric_suffix: str | None = None
    ) -> None:
        self.dir, self.suffix = str(dir), suffix
        self.metric_dir = self.dir if metric_dir is None else str(metric_dir)
        self.metric_suffix = suffix if metric_suffix is None else metric_suffix

    def paths(self, root: str, sample_id: str) -> tuple[str, ...]:
        """The files that :meth:`read` takes, the task's own first."""
        return (os.path.join(root, self.dir, sample_id + self.suffix),)

    def metric_path(self, root: str, sample_id: str) -> str:
        return os.path.join(root, self.metric_dir, sample_id + self.metric_suffix)

    @property
    def named(self) -> bool:
        """Whether somebody said what means no label, so that finding it is no news."""
        return True

    def code(self, value) -> str:
        """A value of the label as it stands in the file, as text for messages; a tuple is a vector."""
        return str(value)

    @abstractmethod
    def read(self, *paths: str) -> np.ndarray | None:
        """The label, (H, W) or (H, W, C); None where the file says nothing about the image.

        Raises:
            ValueError: Naming the file, what was found in it and what was expected.
        """

    def __repr__(self) -> str:
        return f'{type(self).__name__}(dir={self.dir!r}, suffix={self.suffix!r})'


def expect_map(array: np.ndarray, path: str, hint: str = '') -> np.ndarray:
    """``array`` if it is (H, W), with a trailing axis of one dropped.

    Raises:
        ValueError: It has several channels, as colour-coded labels do.
    """
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    if array.ndim != 2:
        raise ValueError(f'{path} has shape {array.shape}, expected one value per pixel, (H, W). {hint}'.rstrip())
    return array
