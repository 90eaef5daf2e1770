"""Tasks whose labels are numbers: depth, and any plain map."""

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from mlore_mm.registry import TASKS
from mlore_mm.tasks.base import NUMBERS_CURE, Task
from mlore_mm.tasks.drawing import draw_scalar
from mlore_mm.tasks.results import DepthResult, TaskResult
from mlore_mm.utils.finite import with_nonfinite_of


@TASKS.register_module()
@dataclass(frozen=True, kw_only=True)
class DenseRegression(Task):
    """A plain map of numbers with one or more channels, for tasks that need no rule of their own.

    ``unit`` is that of the labels; it stands beside numbers and colour bars.

    Args:
        zoom: What an enlargement of the image does to the numbers: 'keep'; 'multiply' by the scale, as for lengths in
            pixels such as disparity or optical flow; 'divide' by it, as for distances.
    """

    loss: dict = field(default_factory=lambda: dict(type='MaskedL1Loss'))
    metric: dict = field(default_factory=lambda: dict(type='RegressionMetric'))

    colormap: ClassVar[str] = 'viridis'
    error_limit: ClassVar[float | None] = None
    cure: ClassVar[str] = NUMBERS_CURE
    zoom: str = 'keep'

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.zoom not in ('keep', 'multiply', 'divide'):
            raise ValueError(f"Task '{self.name}': zoom is 'keep', 'multiply' or 'divide', but got {self.zoom!r}.")
        if self.target_channels == 1 and self.out_channels > 1:  # one number to write in a config, not two
            object.__setattr__(self, 'target_channels', self.out_channels)
        if self.target_channels != self.out_channels:
            raise ValueError(
                f"Task '{self.name}' has out_channels={self.out_channels} and target_channels={self.target_channels}: "
                f'every number of the label is predicted, so they have to agree.'
            )

    def rescale_values(self, values, scale: float):
        if self.zoom == 'keep' or scale == 1:
            return values
        changed = values * scale if self.zoom == 'multiply' else values / scale
        where = np.where if isinstance(values, np.ndarray) else torch.where
        return where(values == self.ignore_value, values, changed)

    @property
    def values_unit(self) -> str:
        return self.unit

    @property
    def error_unit(self) -> str:
        return self.unit

    def check_values(self, target: np.ndarray) -> str | None:
        return None if np.isfinite(target).all() else 'finite numbers expected, found NaN or infinity'

    def draw(self, values: np.ndarray, value_range: tuple[float, float] | None = None) -> np.ndarray:
        """The first channel through the task's colormap."""
        low, high = value_range or self.value_range(values)
        valid = self._drawn(values)
        return np.where(valid[..., None], draw_scalar(values[0], low, high, self.colormap), 0).astype(np.uint8)

    def legend(self, *maps: np.ndarray) -> list[tuple[str, tuple[int, int, int]]]:
        """Black, where a map has pixels without a number."""
        return [] if all(self._drawn(values).all() for values in maps) else [('no reading', (0, 0, 0))]

    def value_range(self, *maps: np.ndarray) -> tuple[float, float]:
        """The 1st to the 99th percentile of the valid pixels of all maps."""
        values = np.concatenate([v[0][self._drawn(v)] for v in maps])
        low, high = np.percentile(values, (1, 99)) if values.size else (0.0, 1.0)
        return float(low), float(high)

    def _drawn(self, values: np.ndarray) -> np.ndarray:
        """(C, H, W) to (H, W) bool: the pixels that have a colour."""
        return ((values != self.ignore_value) & np.isfinite(values)).all(axis=0)


@TASKS.register_module()
@dataclass(frozen=True, kw_only=True)
class Depth(DenseRegression):
    """Distance from the camera in metres; 0 marks a pixel without a reading.

    Loss and metric count the pixels between ``min_depth`` and ``max_depth`` of ``metric`` (0 and 80 m by default, both
    excluded; what ``limits`` of the metric says). They hold for what the network sees: zooming changes it.

    Args:
        zoom_rule: Zooming in brings the scene closer: metres are divided by the scale when an image is resized. Without
            it metres stay, as they should where the intrinsics follow the size of the image instead.
    """

    ignore_value: float = 0
    pad_value: float = 0
    metric: dict = field(default_factory=lambda: dict(type='DepthMetric', max_depth=80.0))
    zoom_rule: bool = True

    colormap: ClassVar[str] = 'viridis_r'  # near is bright
    values_unit: ClassVar[str] = 'm'
    error_unit: ClassVar[str] = 'm'
    result_type: ClassVar[type[TaskResult]] = DepthResult
    plausible_median: ClassVar[tuple[float, float]] = (0.2, 70)  # metres; a data set beyond has another unit

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.out_channels != 1:
            raise ValueError(
                f"Task '{self.name}' is one distance per pixel, but got out_channels={self.out_channels}. It is 1, and "
                'need not be written; DenseRegression takes maps of several numbers.'
            )

    @property
    def limits(self) -> tuple[float, float]:
        """Metres; labels at or beyond either are not counted."""
        low, high = getattr(self._metric_class(), 'limits', (-np.inf, np.inf))  # without any where none are given
        low, high = self.metric.get('min_depth', low), self.metric.get('max_depth', high)
        return float(low), float(high)

    def valid_mask(self, target: Tensor) -> Tensor:
        low, high = self.limits
        inside = (target > low) & (target < high)
        return super().valid_mask(target) & inside.all(dim=-3, keepdim=True)

    def rescale_values(self, values, scale: float):
        """Metres divided by the scale, see ``zoom_rule``."""
        return values / scale if self.zoom_rule else values

    def check_values(self, target: np.ndarray) -> str | None:
        problem = super().check_values(target)
        target = target[target != self.ignore_value] if self.ignore_value < 0 else target
        if problem is None and target.size and target.min() < 0:
            problem = f'metres >= 0 expected (0 = no reading), found a minimum of {target.min():.4g}'
        return problem

    def finalize(self, scores: Tensor) -> Tensor:
        return with_nonfinite_of(scores.clamp(min=0), scores)

    file_note: ClassVar[str] = 'PNG: millimetres in 16 bits, 0 = none; NPY (where a pixel is beyond 65.535 m): metres'

    def to_file(self, pred: np.ndarray) -> tuple[np.ndarray, str]:
        """Millimetres in 16 bits; a picture with a pixel beyond 65.535 m as metres in an array."""
        finite = pred[np.isfinite(pred)]
        if finite.size and finite.max() > 65.535:
            return pred[0].astype(np.float32), '.npy'
        return np.clip(np.rint(np.nan_to_num(pred[0], posinf=0, neginf=0) * 1000), 0, 65535).astype(np.uint16), '.png'

    def result(self, pred: np.ndarray) -> DepthResult:
        return DepthResult(task=self.name, metres=pred[0].astype(np.float32))
