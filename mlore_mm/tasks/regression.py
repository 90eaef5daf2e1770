"""Tasks whose labels are numbers: depth, and any plain map."""

from dataclasses import dataclass, field

import numpy as np
from torch import Tensor

from mlore_mm.registry import TASKS
from mlore_mm.tasks.base import Task
from mlore_mm.tasks.drawing import draw_scalar


@TASKS.register_module()
@dataclass(frozen=True, kw_only=True)
class DenseRegression(Task):
    """A plain map of numbers with one or more channels, for tasks that need no rule of their own."""

    loss: dict = field(default_factory=lambda: dict(type='MaskedL1Loss'))
    metric: dict = field(default_factory=lambda: dict(type='RegressionMetric'))
    headline: str = 'MAE'
    higher_is_better: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.target_channels == 1 and self.out_channels > 1:  # one number to write in a config, not two
            object.__setattr__(self, 'target_channels', self.out_channels)

    def check_values(self, target: np.ndarray) -> str | None:
        return None if np.isfinite(target).all() else 'finite numbers expected, found NaN or infinity'

    def draw(self, values: np.ndarray) -> np.ndarray:
        valid = (values != self.ignore_value).all(axis=0)
        low, high = np.percentile(values[0][valid], (1, 99)) if valid.any() else (0, 1)
        return np.where(valid[..., None], draw_scalar(values[0], low, high, 'viridis'), 0).astype(np.uint8)


@TASKS.register_module()
@dataclass(frozen=True, kw_only=True)
class Depth(DenseRegression):
    """Distance from the camera in metres; 0 marks a pixel without a reading."""

    ignore_value: float = 0
    pad_value: float = 0
    metric: dict = field(default_factory=lambda: dict(type='DepthMetric', max_depth=80.0))
    headline: str = 'RMSE'
    unit: str = 'm'

    def rescale_values(self, values, scale: float):
        """Zooming in brings the scene closer: metres divided by the scale."""
        return values / scale

    def check_values(self, target: np.ndarray) -> str | None:
        problem = super().check_values(target)
        if problem is None and target.size and target.min() < 0:
            problem = f'metres >= 0 expected (0 = no reading), found a minimum of {target.min():.4g}'
        return problem

    def finalize(self, scores: Tensor) -> Tensor:
        return scores.clamp(min=0)

    def draw(self, values: np.ndarray) -> np.ndarray:
        valid = values[0] != self.ignore_value
        low, high = np.percentile(values[0][valid], (1, 99)) if valid.any() else (0, 1)
        return np.where(valid[..., None], draw_scalar(values[0], low, high, 'turbo_r'), 0).astype(np.uint8)
