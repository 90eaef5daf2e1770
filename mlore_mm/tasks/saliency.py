"""Saliency: which pixels belong to what catches the eye."""

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from mlore_mm.registry import TASKS
from mlore_mm.tasks.binary import BinaryTask
from mlore_mm.tasks.label_statistics import MaskStatistics


@TASKS.register_module()
@dataclass(frozen=True, kw_only=True)
class Saliency(BinaryTask):
    """Saliency as two classes (0 background, 1 salient, 255 ignored); the prediction is the probability of class 1.

    The network gives logits of both classes, or with ``out_channels=1`` one logit, and a loss that takes it.
    """

    out_channels: int = 2
    dtype: str = 'uint8'
    loss: dict = field(default_factory=lambda: dict(type='BalancedCrossEntropyLoss'))
    loss_weight: float = 5.0
    metric: dict = field(default_factory=lambda: dict(type='SaliencyMetric'))

    colormap: ClassVar[str] = 'gray'

    def statistics(self) -> MaskStatistics:
        return MaskStatistics(self)

    def check_values(self, target: np.ndarray) -> str | None:
        wrong = np.unique(target[(target > 1) & (target != self.ignore_value)])
        return f'0, 1 or {self.ignore_value} (ignore) expected, found {wrong[:8]}' if wrong.size else None

    def constant(self, targets) -> Tensor:
        """Everything is salient: no other map that is the same everywhere has a larger F."""
        return torch.ones(1, 1, 1)
