"""What the labels of a task look like over a data set, and what in it cannot be meant.

Statistics of single labels are added up, in any order and across processes. Rules that need the whole data set, such as
a class that never occurs, are left out where only a sample of it was seen.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

_NAMED = 8  # classes that a message names


class LabelRules(Protocol):
    """What statistics ask of a :class:`Task`."""

    name: str
    out_channels: int
    ignore_value: float
    classes: tuple
    values_unit: str

    def mask_values(self, target: np.ndarray) -> np.ndarray: ...

    def valid_mask(self, target: Tensor) -> Tensor: ...


@dataclass(frozen=True)
class Finding:
    """Something about the labels of a task.

    Args:
        level: 'error' where it cannot be right, 'warning' where it may be.
        task: Name of the task.
        text: What was found, with values and shares.
        cure: The option that changes it.
    """

    level: str
    task: str
    text: str
    cure: str = ''

    def __str__(self) -> str:
        return f'{self.level}: {self.task}: {self.text}.' + (f' To cure it: {self.cure}.' if self.cure else '')


class LabelStatistics:
    """Sums over the labels of one task; subclasses say what is summed and judged.

    Args:
        task: The task. Its rules say what is plausible.
    """

    SUMS: tuple[str, ...] = ('images', 'pixels', 'valid', 'empty')

    def __init__(self, task: LabelRules) -> None:
        self.task = task
        self.images = self.pixels = self.valid = 0
        self.empty = 0  # images without a valid pixel

    def counted(self, label: np.ndarray) -> np.ndarray:
        """(H, W) bool: the pixels of a label that count."""
        masked = self.task.mask_values(label)
        tensor = torch.from_numpy(np.ascontiguousarray(np.atleast_3d(masked).transpose(2, 0, 1)))
        return self.task.valid_mask(tensor)[0].numpy()

    def add(self, label: np.ndarray) -> LabelStatistics:
        """Take in a label (H, W) or (H, W, C) as the pipeline carries it."""
        valid = self.counted(label)
        self.images += 1
        self.pixels += valid.size
        self.valid += int(valid.sum())
        self.empty += not valid.any()
        self._add(label, valid)
        return self

    def merge(self, other: LabelStatistics) -> LabelStatistics:
        """Take in what another object of this kind has seen."""
        for name in self.SUMS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        return self

    def _add(self, label: np.ndarray, valid: np.ndarray) -> None:
        """Subclasses: the label, and (H, W) bool of the pixels that count."""

    def values(self) -> str:
        """What the table says of the values."""
        return ''

    def bars(self) -> tuple[Sequence[str], Sequence[float]]:
        """Names and shares in percent for a picture."""
        return (), ()

    def judge(self, whole: bool, code: Callable) -> list[tuple[str, str, str]]:
        """Level, text and cure of what is found; see :meth:`findings`."""
        return []

    def judge_nothing(self) -> list[tuple[str, str, str]]:
        """The same for labels of which no pixel counts."""
        return []

    def findings(self, whole: bool = True, code: Callable = str) -> list[Finding]:
        """What cannot be right or is doubtful.

        Args:
            whole: Whether the whole data set was seen and not a sample.
            code: A value of the label as it stands in the file, as text.
        """
        if not self.images:
            return []
        found = []
        if not self.valid:
            found.append(('error', f'no pixel of the {self.images} labels counts', '`ignore` and the kind of reader'))
        elif self.share(self.valid) < 10:
            found.append(('warning', f'only {self.share(self.valid):.1f} % of the pixels count', ''))
        found += self.judge(whole, code) if self.valid else self.judge_nothing()
        return [Finding(level, self.task.name, text, cure) for level, text, cure in found]

    def share(self, count: float, of: float | None = None) -> float:
        """Percent of all pixels, or of another number."""
        return 100 * count / max(self.pixels if of is None else of, 1)


class ClassStatistics(LabelStatistics):
    """Pixels and images of every class."""

    SUMS = (*LabelStatistics.SUMS, 'counts', 'found_in')

    def __init__(self, task: LabelRules) -> None:
        super().__init__(task)
        self.counts = np.zeros(task.out_channels, dtype=np.int64)
        self.found_in = np.zeros(task.out_channels, dtype=np.int64)

    def _add(self, label: np.ndarray, valid: np.ndarray) -> None:
        counts = np.bincount(label[valid].astype(np.int64).ravel(), minlength=len(self.counts))[: len(self.counts)]
        self.counts += counts
        self.found_in += counts > 0

    def _names(self, ids: np.ndarray) -> str:
        names = [f'{index} {self.task.classes[index]}' if self.task.classes else str(index) for index in ids]
        more = f' and {len(names) - _NAMED} more' if len(names) > _NAMED else ''
        return ', '.join(names[:_NAMED]) + more

    def values(self) -> str:
        order = np.argsort(-self.counts, kind='stable')[:3]
        common = [f'{self._names([i])} {self.share(self.counts[i], self.valid):.1f} %' for i in order if self.counts[i]]
        return f'{int((self.counts > 0).sum())} of {len(self.counts)} classes; {", ".join(common)}'

    def bars(self) -> tuple[Sequence[str], Sequence[float]]:
        names = [str(name) for name in self.task.classes or range(len(self.counts))]
        return names, [self.share(count, self.valid) for count in self.counts]

    def judge(self, whole: bool, code: Callable) -> list[tuple[str, str, str]]:
        found, present = [], np.flatnonzero(self.counts)
        left_out = int(self.task.ignore_value) if 0 <= self.task.ignore_value < len(self.counts) else None
        if len(present) == 1 and len(self.counts) > 1 and self.images > 1:
            ignored = self.share(self.pixels - self.valid)
            level = 'error' if whole and ignored > 0 and len(self.counts) == 2 else 'warning'
            text = f'{self._names(present)} is the only class in {self.images} labels, {ignored:.1f} % have no label'
            found.append((level, text, 'id_map of IdMapReader, id_map={0: 0, 255: 1} for masks of 0 and 255'))
        elif whole:
            never = [i for i in range(len(self.counts)) if not self.counts[i] and i != left_out]
            once = np.flatnonzero(self.found_in == 1)
            if never:
                found.append(
                    (
                        'warning',
                        f'{len(never)} of {len(self.counts)} classes never occur: {self._names(np.array(never))}',
                        '`offset` or `id_map` of the reader if the ids are others, `classes` of the task if not',
                    )
                )
            if len(once) and self.images > 3:
                found.append(('warning', f'{len(once)} classes occur in one image only: {self._names(once)}', ''))
        if self.share(self.pixels - self.valid) > 50:
            share = self.share(self.pixels - self.valid)
            found.append(('warning', f'{share:.1f} % of the pixels have no label', '`ignore` of the reader'))
        return found


class MaskStatistics(LabelStatistics):
    """Maps of 0 to 1: how much is 1, in how many images none or all of it.

    Args:
        task: The task.
        most: Share of 1 in percent beyond which the map is taken for inverted.
    """

    SUMS = (*LabelStatistics.SUMS, 'total', 'without', 'full')

    def __init__(self, task: LabelRules, most: float = 90) -> None:
        super().__init__(task)
        self.most = most
        self.total, self.without, self.full, self.highest = 0.0, 0, 0, 0.0

    def _add(self, label: np.ndarray, valid: np.ndarray) -> None:
        values = label[valid]
        if not values.size:
            return
        self.total += float(values.sum(dtype=np.float64))
        self.highest = max(self.highest, float(values.max()))
        self.without += not values.any()
        self.full += bool((values == 1).all())

    def merge(self, other: MaskStatistics) -> MaskStatistics:
        self.highest = max(self.highest, other.highest)
        return super().merge(other)

    def values(self) -> str:
        shares = f'{self.share(self.total, self.valid):.2f} % are 1'
        return f'{shares}; none in {self.without} images, all in {self.full}; largest value {self.highest:.3g}'

    def bars(self) -> tuple[Sequence[str], Sequence[float]]:
        ones = self.share(self.total, self.valid)
        return ('0', '1'), (100 - ones, ones)

    def judge(self, whole: bool, code: Callable) -> list[tuple[str, str, str]]:
        ones = self.share(self.total, self.valid)
        if 0 < self.highest < 0.01:
            text = f'the largest value is {self.highest:.4f}, which is 1 of 255'
            return [('error', text, 'divisor=1 of ScaledReader, threshold=0 of MaskReader')]
        if not self.highest:
            return [
                (
                    'error' if whole and self.images > 1 else 'warning',
                    f'no pixel is 1 in any of {self.images} labels',
                    'threshold=0 of MaskReader for masks of 0 and 1, or `ignore` and `id_map` of IdMapReader',
                )
            ]
        if ones > self.most:
            return [('warning', f'{ones:.1f} % of the pixels are 1: is the map inverted?', '')]
        return []
