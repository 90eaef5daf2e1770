"""Saliency: which pixels belong to what catches the eye."""

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from mlore_mm.registry import TASKS
from mlore_mm.tasks.base import Task
from mlore_mm.tasks.binary import check_two_class, foreground, probability
from mlore_mm.tasks.drawing import draw_scalar, probability_to_bytes
from mlore_mm.tasks.label_statistics import MaskStatistics
from mlore_mm.tasks.results import ProbabilityResult, TaskResult


@TASKS.register_module()
@dataclass(frozen=True, kw_only=True)
class Saliency(Task):
    """Saliency as two classes (0 background, 1 salient, 255 ignored); the prediction is the probability of class 1.

    The network gives logits of both classes, or with ``out_channels=1`` one logit, and a loss that takes it.
    """

    out_channels: int = 2
    dtype: str = 'uint8'
    loss: dict = field(default_factory=lambda: dict(type='BalancedCrossEntropyLoss'))
    loss_weight: float = 5.0
    metric: dict = field(default_factory=lambda: dict(type='SaliencyMetric'))

    result_type: ClassVar[type[TaskResult]] = ProbabilityResult
    colormap: ClassVar[str] = 'gray'
    values_unit: ClassVar[str] = 'probability'

    def __post_init__(self) -> None:
        super().__post_init__()
        check_two_class(self)

    def statistics(self) -> MaskStatistics:
        return MaskStatistics(self)

    def check_values(self, target: np.ndarray) -> str | None:
        wrong = np.unique(target[(target > 1) & (target != self.ignore_value)])
        return f'0, 1 or {self.ignore_value} (ignore) expected, found {wrong[:8]}' if wrong.size else None

    def activate(self, logits: Tensor) -> Tensor:
        return probability(logits)

    def finalize(self, scores: Tensor) -> Tensor:
        return foreground(scores)

    def value_range(self, *maps: np.ndarray) -> tuple[float, float]:
        return 0.0, 1.0

    def draw(self, values: np.ndarray, value_range=None) -> np.ndarray:
        return draw_scalar(np.where(values[0] == self.ignore_value, 0, values[0]), 0, 1, self.colormap)

    def constant(self, targets) -> Tensor:
        """Everything is salient: no other map that is the same everywhere has a larger F."""
        return torch.ones(1, 1, 1)

    file_note: ClassVar[str] = 'PNG: probability times 255'

    def to_file(self, pred: np.ndarray) -> tuple[np.ndarray, str]:
        return probability_to_bytes(pred[0]), '.png'

    def result(self, pred: np.ndarray) -> ProbabilityResult:
        return ProbabilityResult(task=self.name, probability=pred[0].astype(np.float32))
