"""What labels that are numbers or vectors look like over a data set; see ``label_statistics``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from mlore_mm.tasks.label_statistics import LabelRules, LabelStatistics

_SAMPLE = 400  # valid pixels of a label that are kept for percentiles
_RARE = 0.5  # percent of the pixels below which a value that occurs often is not worth a word


class NumberStatistics(LabelStatistics):
    """Range, percentiles, and what is at both ends or outside the task's limits.

    Args:
        task: The task. Where it has ``limits``, labels outside are counted apart.
    """

    SUMS = (*LabelStatistics.SUMS, 'outside', 'numbers')

    def __init__(self, task: LabelRules) -> None:
        super().__init__(task)
        self.low, self.high = np.inf, -np.inf
        self.outside = self.numbers = 0
        self.sample: list[np.ndarray] = []
        self.ends: Counter[float] = Counter()  # how often the lowest and highest of each label occur in it

    def _add(self, label: np.ndarray, valid: np.ndarray) -> None:
        self.outside += int(((np.atleast_3d(label) != self.task.ignore_value).all(axis=-1) & ~valid).sum())
        values = label[valid]
        if not values.size:
            return
        self.numbers += values.size
        low, high = float(values.min()), float(values.max())
        self.low, self.high = min(self.low, low), max(self.high, high)
        for end in {low, high}:
            self.ends[end] += int((values == end).sum())
        flat = values.ravel()
        self.sample.append(flat[:: max(1, flat.size // _SAMPLE)].astype(np.float32))

    def merge(self, other: NumberStatistics) -> NumberStatistics:
        self.low, self.high = min(self.low, other.low), max(self.high, other.high)
        self.sample += other.sample
        self.ends += other.ends
        return super().merge(other)

    def percentiles(self) -> np.ndarray:
        """The 1st, 50th and 99th of a sample of the valid pixels."""
        return np.percentile(np.concatenate(self.sample), (1, 50, 99)) if self.sample else np.full(3, np.nan)

    def values(self) -> str:
        if not self.valid:
            return 'none'
        first, middle, last = self.percentiles()
        unit = f' {self.task.values_unit}' if self.task.values_unit else ''
        return f'{self.low:.4g} to {self.high:.4g}{unit}; 1 % below {first:.4g}, half {middle:.4g}, 99 % {last:.4g}'

    def bars(self) -> tuple[Sequence[str], Sequence[float]]:
        if not self.sample:
            return (), ()
        counts, edges = np.histogram(np.concatenate(self.sample), bins=20)
        return [f'{edge:.3g}' for edge in edges[:-1]], 100 * counts / max(counts.sum(), 1)

    def judge(self, whole: bool, code: Callable) -> list[tuple[str, str, str]]:
        if self.low == self.high:
            found = 'error' if self.images > 1 else 'warning'
            return [(found, f'every pixel of {self.images} labels is {self.low:.4g}', '')]
        found = self._judge_range()
        for value, name in ((self.high, 'largest'), (self.low, 'smallest')):
            share = self.share(self.ends[value], self.numbers)
            if share > _RARE:
                text = f'{share:.1f} % of the labels are {value:.4g}, the {name} value of all: a mark, or a cut?'
                found.append(('warning', text, f'ignore=({code(value)},) of the reader, if it means no label'))
        return found

    def judge_nothing(self) -> list[tuple[str, str, str]]:
        return self._judge_range()

    def _judge_range(self) -> list[tuple[str, str, str]]:
        low, high = getattr(self.task, 'limits', None) or (-np.inf, np.inf)
        found, share = [], self.share(self.outside)
        scale = '`divisor` of ScaledReader or `scale` of NpyReader: 1000 and 0.001 for millimetres'
        if share > 50:
            text = f'{share:.1f} % of the pixels are outside {low:g} to {high:g}{self._unit()}: another unit?'
            found.append(('error', text, scale))
        elif share > 0:
            text = f'{share:.2f} % of the pixels are outside {low:g} to {high:g}{self._unit()}, so they do not count'
            found.append(('warning', text, 'min_depth and max_depth of `metric` of the task'))
        plausible = getattr(self.task, 'plausible_median', None)
        if self.sample and plausible and not plausible[0] <= self.percentiles()[1] <= plausible[1]:
            middle = self.percentiles()[1]
            text = f'half of the labels are below {middle:.4g}{self._unit()}, expected {plausible[0]} to {plausible[1]}'
            found.append(('warning', f'{text}: another unit?', scale))
        return found

    def _unit(self) -> str:
        return f' {self.task.values_unit}' if self.task.values_unit else ''


class VectorStatistics(LabelStatistics):
    """Lengths of vectors that are meant to be unit vectors, and the vectors that are far from it."""

    SUMS = (*LabelStatistics.SUMS, 'far', 'length', 'negative', 'marks', 'lengths')

    def __init__(self, task: LabelRules) -> None:
        super().__init__(task)
        self.far, self.negative, self.length = 0, 0, 0.0
        self.lengths = np.zeros(20, dtype=np.int64)  # 0 to 2 in steps of 0.1
        self.marks: Counter[tuple[float, ...]] = Counter()  # of the vectors that are far from unit length

    def _add(self, label: np.ndarray, valid: np.ndarray) -> None:
        vectors = label[valid].astype(np.float64)
        lengths = np.linalg.norm(vectors, axis=-1)
        far = (lengths < 0.5) | (lengths > 1.2)
        self.far += int(far.sum())
        self.length += float(lengths.sum())
        self.negative += int((vectors < -0.02).any(axis=-1).sum())
        self.lengths += np.histogram(np.minimum(lengths, 1.999), bins=20, range=(0, 2))[0]
        kinds, counts = np.unique(np.round(vectors[far], 4), axis=0, return_counts=True)
        for index in np.argsort(-counts)[:3]:
            self.marks[tuple(kinds[index].tolist())] += int(counts[index])

    def values(self) -> str:
        mean = self.length / max(self.valid, 1)
        return f'mean length {mean:.3f}; {self.share(self.far, self.valid):.2f} % shorter than 0.5 or longer than 1.2'

    def bars(self) -> tuple[Sequence[str], Sequence[float]]:
        return [f'{0.1 * i:.1f}' for i in range(20)], [self.share(count, self.valid) for count in self.lengths]

    def judge(self, whole: bool, code: Callable) -> list[tuple[str, str, str]]:
        share = self.share(self.far, self.valid)
        (mark, count), *_ = self.marks.most_common(1) or [((), 0)]
        if self.share(self.negative, self.valid) < 1 and share > 10 and count < self.far / 2:
            text = f'no component is below 0, and {share:.1f} % of the vectors are far from unit length: coded in 0..1?'
            return [('error', text, 'scale=2, offset=-1 of NpyReader')]
        if share <= 0.1:
            return []
        text = (
            f'{share:.1f} % of the vectors are shorter than 0.5 or longer than 1.2 and so no directions, most often '
            f'{code(mark)}, length {np.linalg.norm(mark):.2f}, with {self.share(count, self.valid):.1f} %'
        )
        cure = f'ignore=({code(mark)},) of the reader, or length_range=(0.5, 1.2) of the task'
        return [('error' if share > 50 else 'warning', text, cure)]
