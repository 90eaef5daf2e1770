"""Boundaries between regions."""

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from torch import Tensor

from mlore_mm.registry import TASKS
from mlore_mm.tasks.base import Task
from mlore_mm.tasks.binary import check_two_class, foreground, probability
from mlore_mm.tasks.drawing import draw_scalar, probability_to_bytes
from mlore_mm.tasks.label_statistics import MaskStatistics
from mlore_mm.tasks.results import ProbabilityResult, TaskResult


@TASKS.register_module()
@dataclass(frozen=True, kw_only=True)
class Edge(Task):
    """Boundary detection: label 0 to 1 (share of boundary), 255 ignored; the prediction is a probability.

    The network gives one logit per pixel, or with ``out_channels=2`` those of the classes no boundary and boundary.
    ``metric`` names the training-loss proxy by default; the benchmark number is odsF of ``BoundaryMetric``.
    """

    loss: dict = field(default_factory=lambda: dict(type='BalancedBCELoss', pos_weight=0.95))
    loss_weight: float = 50.0
    metric: dict = field(default_factory=lambda: dict(type='BoundaryLossMetric', pos_weight=0.95))

    result_type: ClassVar[type[TaskResult]] = ProbabilityResult
    colormap: ClassVar[str] = 'gray_r'
    values_unit: ClassVar[str] = 'probability'

    def __post_init__(self) -> None:
        super().__post_init__()
        check_two_class(self)

    def statistics(self) -> MaskStatistics:
        return MaskStatistics(self, most=50)

    def check_values(self, target: np.ndarray) -> str | None:
        inside = ((target >= 0) & (target <= 1)) | (target == self.ignore_value)
        if inside.all():
            return None
        return f'values in 0..1 or {self.ignore_value} (ignore) expected, found {np.unique(target[~inside])[:8]}'

    def activate(self, logits: Tensor) -> Tensor:
        return probability(logits)

    def finalize(self, scores: Tensor) -> Tensor:
        return foreground(scores)

    def value_range(self, *maps: np.ndarray) -> tuple[float, float]:
        return 0.0, 1.0

    def draw(self, values: np.ndarray, value_range=None) -> np.ndarray:
        return draw_scalar(np.where(values[0] == self.ignore_value, 0, values[0]), 0, 1, self.colormap)

    file_note: ClassVar[str] = 'PNG: probability times 255'

    def to_file(self, pred: np.ndarray) -> tuple[np.ndarray, str]:
        return probability_to_bytes(pred[0]), '.png'

    def result(self, pred: np.ndarray) -> ProbabilityResult:
        return ProbabilityResult(task=self.name, probability=pred[0].astype(np.float32))
