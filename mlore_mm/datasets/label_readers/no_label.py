"""Which numbers or colours of a label file say that a pixel has no label."""

import logging
from collections.abc import Sequence
from numbers import Real

import numpy as np
from mmengine.logging import print_log

WORDS = ('nan', 'inf', 'negative')
_SAID: set[str] = set()


class NumbersWithoutLabel:
    """Marks pixels of a map of numbers.

    Args:
        ignore: Numbers as they stand in the file, before any scaling, and the words 'nan', 'inf' (both signs) and
            'negative'.
        limits: Smallest and largest number that is a reading, after scaling; None leaves a side open.

    Raises:
        ValueError: Another word, or limits that leave nothing.
    """

    def __init__(self, ignore: Sequence = (), limits: Sequence[float | None] | None = None) -> None:
        ignore = (ignore,) if isinstance(ignore, (str, Real)) else tuple(ignore)
        self.numbers = [value for value in ignore if isinstance(value, Real)]
        self.words = [value for value in ignore if not isinstance(value, Real)]
        unknown = [word for word in self.words if word not in WORDS]
        if unknown:
            raise ValueError(f'`ignore` of a label reader holds {unknown}, expected numbers or some of {list(WORDS)}.')
        self.low, self.high = limits if limits is not None else (None, None)
        if self.low is not None and self.high is not None and not self.low < self.high:
            raise ValueError(f'`limits` of a label reader are (smallest, largest), but got {tuple(limits)}.')

    def mark(self, raw: np.ndarray, values: np.ndarray) -> np.ndarray:
        """``values``, as a masked array where some of them are no labels: the mask is True there.

        Args:
            raw: (H, W) or (H, W, C), what stands in the file.
            values: The same after scaling.
        """
        mask = np.zeros(raw.shape, dtype=bool)
        for number in self.numbers:
            mask |= raw == _as(raw.dtype, number)
        if raw.dtype.kind == 'f' and 'nan' in self.words:
            mask |= np.isnan(raw)
        if raw.dtype.kind == 'f' and 'inf' in self.words:
            mask |= np.isinf(raw)
        with np.errstate(invalid='ignore'):
            if 'negative' in self.words:
                mask |= raw < 0
            if self.low is not None:
                mask |= values < self.low
            if self.high is not None:
                mask |= values > self.high
        return without_label(values, mask)


def _as(dtype: np.dtype, number: float):
    """``number`` as the file would hold it; NaN, which equals nothing, where it cannot."""
    if dtype.kind == 'f':
        return dtype.type(number)
    info = np.iinfo(dtype)
    return dtype.type(number) if float(number).is_integer() and info.min <= number <= info.max else np.nan


def without_label(values: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """``values`` (H, W) or (H, W, C) masked where ``mask`` is True, in one channel or for the pixel; plain without."""
    if not mask.any():
        return values
    if mask.ndim < values.ndim:
        mask = np.repeat(mask[..., None], values.shape[-1], axis=-1)
    elif mask.ndim == 3:  # a pixel counts as a whole
        mask = np.repeat(mask.any(axis=-1, keepdims=True), values.shape[-1], axis=-1)
    return np.ma.MaskedArray(values, mask)


def fill(label: np.ndarray, ignore_value: float) -> np.ndarray:
    """A plain array: ``ignore_value`` of the task where a reader has marked pixels without a label.

    Raises:
        ValueError: The label's type cannot hold the value.
    """
    if not isinstance(label, np.ma.MaskedArray):
        return label
    data, mask = np.asarray(label.data), np.ma.getmaskarray(label)
    if data.dtype.kind in 'iu' and not np.can_cast(np.min_scalar_type(ignore_value), data.dtype):
        data = data.astype(np.float32)
    return np.where(mask, np.asarray(ignore_value, dtype=data.dtype), data)


def say_once(key: str, message: str) -> None:
    """A warning that would otherwise come for every file; once per process and ``key``."""
    if key not in _SAID:
        _SAID.add(key)
        print_log(message, 'current', logging.WARNING)
