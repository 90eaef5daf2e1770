"""Look at labels as a whole: statistics of every task, and what in them cannot be meant."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mlore_mm.datasets.alignment import Alignment
from mlore_mm.datasets.image_io import exif_orientation
from mlore_mm.datasets.label_readers import LabelReader
from mlore_mm.datasets.transforms.loading import LoadMultiTaskImage, check_label, read_label
from mlore_mm.tasks import Finding, Task

_KINDS = 3  # marks of a label that are remembered


@dataclass(frozen=True)
class Photo:
    """What a label is compared with: pixels (H, W, C) as they lie in the file, and the EXIF tag (1 for upright)."""

    pixels: np.ndarray
    orientation: int = 1

    @classmethod
    def read(cls, path: str) -> Photo:
        """
        Raises:
            ValueError: It cannot be read.
        """
        return cls(LoadMultiTaskImage()(dict(img_path=path))['img'], exif_orientation(path))

    @property
    def size(self) -> tuple[int, int]:
        return self.pixels.shape[:2]


class TaskSurvey:
    """What the labels of one task hold; adds up over samples and processes.

    Args:
        task: The task.
    """

    def __init__(self, task: Task) -> None:
        self.task, self.statistics = task, task.statistics()
        self.reader: LabelReader | None = None
        self.marks: Counter = Counter()  # values that the reader took as no label by its default, by value
        self.missing = 0
        self.alignment = Alignment()

    def add(self, label: np.ndarray, raw: np.ndarray, reader: LabelReader, photo: Photo | None = None) -> None:
        """Take in a label, what the reader gave before it was filled, and the photo that it belongs to."""
        self.reader = reader
        self.statistics.add(label)
        if photo is not None:
            self.alignment.add(photo.pixels, label, self.statistics.counted(label), photo.orientation)
        if isinstance(raw, np.ma.MaskedArray) and not reader.named:
            mask = np.ma.getmaskarray(raw)
            values = raw.data[mask] if raw.ndim == 2 else raw.data[mask.any(axis=-1)]
            kinds, counts = np.unique(values, axis=0, return_counts=True)
            for index in np.argsort(-counts)[:_KINDS]:
                value = kinds[index]
                self.marks[tuple(value.tolist()) if value.ndim else float(value)] += int(counts[index])

    def merge(self, other: TaskSurvey) -> TaskSurvey:
        self.statistics.merge(other.statistics)
        self.marks += other.marks
        self.missing += other.missing
        self.alignment.merge(other.alignment)
        self.reader = self.reader or other.reader
        return self

    def findings(self, whole: bool = True) -> list[Finding]:
        """See :meth:`LabelStatistics.findings`."""
        code = self.reader.code if self.reader else str
        return self._marked(code) + self.statistics.findings(whole, code) + self.alignment.findings(self.task)

    def _marked(self, code) -> list[Finding]:
        found = []
        for value, count in self.marks.most_common(_KINDS):
            share = self.statistics.share(count)
            text = f'{share:.1f} % of the pixels hold {code(value)} and are taken as without a label'
            cure = f'ignore=({code(value)},) of its {type(self.reader).__name__} says so, ignore=() takes it as a label'
            found.append(Finding('warning', self.task.name, text, cure))
        return found

    def row(self) -> tuple[str, str, str, str]:
        """Name, labels and those missing, share of labelled pixels, values."""
        numbers = self.statistics
        labels = f'{numbers.images}' + (f' ({self.missing} missing)' if self.missing else '')
        valid = f'{numbers.share(numbers.valid):.1f} %' if numbers.pixels else '-'
        return self.task.name, labels, valid, numbers.values() if numbers.valid else ''


def survey_label(
    task: Task,
    reader: LabelReader,
    paths: tuple[str, ...],
    size: tuple[int, int],
    img_path: str,
    photo: Photo | None = None,
) -> TaskSurvey:
    """Read one label and look at it, beside its photo if that is given.

    Raises:
        ValueError: It cannot be read, or holds what means nothing.
    """
    survey = TaskSurvey(task)
    raw = read_label(reader, paths)
    if raw is not None:
        survey.add(check_label(raw, task, size, paths[0], img_path), raw, reader, photo)
    return survey


def merge_surveys(surveys: dict[str, TaskSurvey], more: Mapping[str, TaskSurvey]) -> None:
    """Take ``more`` into ``surveys``, by task."""
    for name, survey in more.items():
        surveys[name] = surveys[name].merge(survey) if name in surveys else survey


def table(surveys: Mapping[str, TaskSurvey]) -> str:
    """A line per task."""
    rows = [('task', 'labels', 'labelled', 'values'), *(survey.row() for survey in surveys.values())]
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    return '\n'.join(
        '  '.join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[3]]).rstrip()
        for row in rows
    )
