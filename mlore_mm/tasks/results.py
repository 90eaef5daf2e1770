"""Predictions as people take them: one small class per kind of map, with the unit in its name."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np


@dataclass(frozen=True, kw_only=True, eq=False)
class TaskResult:
    """What one task says about one image; arrays have the size of the image.

    Args:
        task: Name of the task.
    """

    task: str
    kind: ClassVar[str] = ''

    @property
    def values(self) -> np.ndarray:
        """The array, (H, W) or (H, W, C)."""
        raise NotImplementedError

    def summary(self) -> dict:
        """A few numbers that JSON can hold."""
        values = self.values[np.isfinite(self.values)]
        if not values.size:
            return dict(min=None, mean=None, max=None)
        return dict(min=_number(values.min()), mean=_number(values.mean()), max=_number(values.max()))


@dataclass(frozen=True, kw_only=True, eq=False)
class ClassMapResult(TaskResult):
    """A class per pixel.

    Args:
        ids: (H, W) integers.
        names: Name of each class.
        palette: (classes, 3) uint8, RGB of each class.
    """

    ids: np.ndarray
    names: tuple[str, ...]
    palette: np.ndarray
    kind: ClassVar[str] = 'class_map'

    @property
    def values(self) -> np.ndarray:
        return self.ids

    def shares(self) -> dict[str, float]:
        """Share of the pixels of every class present, the largest first; ids below 0 are of no class."""
        ids, counts = np.unique(self.ids, return_counts=True)
        order = np.argsort(-counts, kind='stable')
        return {self.names[ids[i]]: counts[i] / self.ids.size for i in order if ids[i] >= 0}

    def summary(self) -> dict:
        return dict(shares={name: _number(share) for name, share in self.shares().items()})


@dataclass(frozen=True, kw_only=True, eq=False)
class DepthResult(TaskResult):
    """Distance from the camera.

    Args:
        metres: (H, W) float32.
    """

    metres: np.ndarray
    kind: ClassVar[str] = 'metres'

    @property
    def values(self) -> np.ndarray:
        return self.metres

    def summary(self) -> dict:
        finite = self.metres[np.isfinite(self.metres)]
        return dict(super().summary(), median=_number(np.median(finite)) if finite.size else None, unit='m')


@dataclass(frozen=True, kw_only=True, eq=False)
class NormalsResult(TaskResult):
    """Orientation of surfaces in the camera's space.

    Args:
        unit: (H, W, 3) float32 unit vectors, x to the right.
    """

    unit: np.ndarray
    kind: ClassVar[str] = 'unit_vectors'

    @property
    def values(self) -> np.ndarray:
        return self.unit

    def summary(self) -> dict:
        return dict(mean=[_number(x) for x in self.unit.mean(axis=(0, 1))])


@dataclass(frozen=True, kw_only=True, eq=False)
class ProbabilityResult(TaskResult):
    """How likely each pixel is a boundary, salient, or whatever the task asks.

    Args:
        probability: (H, W) float32 in 0..1.
    """

    probability: np.ndarray
    kind: ClassVar[str] = 'probability'

    @property
    def values(self) -> np.ndarray:
        return self.probability

    def mask(self, threshold: float = 0.5) -> np.ndarray:
        """(H, W) bool: where the probability is above the threshold."""
        return self.probability > threshold

    def summary(self) -> dict:
        return dict(super().summary(), above_half=_number(self.mask().mean()))


@dataclass(frozen=True, kw_only=True, eq=False)
class NumbersResult(TaskResult):
    """Plain numbers of a task without a rule of its own.

    Args:
        numbers: (H, W) or (H, W, C) float32.
    """

    numbers: np.ndarray
    kind: ClassVar[str] = 'numbers'

    @property
    def values(self) -> np.ndarray:
        return self.numbers


def _number(value) -> float | None:
    """For JSON, which knows neither NaN nor infinity."""
    return round(float(value), 6) if np.isfinite(value) else None
