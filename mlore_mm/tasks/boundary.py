"""Boundaries between regions."""

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from mlore_mm.registry import TASKS
from mlore_mm.tasks.binary import BinaryTask
from mlore_mm.tasks.label_statistics import MaskStatistics


@TASKS.register_module()
@dataclass(frozen=True, kw_only=True)
class Edge(BinaryTask):
    """Boundary detection: label 0 to 1 (share of boundary), 255 ignored; the prediction is a probability.

    The network gives one logit per pixel, or with ``out_channels=2`` those of the classes no boundary and boundary.
    ``metric`` names the training-loss proxy by default; the benchmark number is odsF of ``BoundaryMetric``.
    """

    loss: dict = field(default_factory=lambda: dict(type='BalancedBCELoss', pos_weight=0.95))
    loss_weight: float = 50.0
    metric: dict = field(default_factory=lambda: dict(type='BoundaryLossMetric', pos_weight=0.95))

    colormap: ClassVar[str] = 'gray_r'

    def statistics(self) -> MaskStatistics:
        return MaskStatistics(self, most=50)

    def check_values(self, target: np.ndarray) -> str | None:
        inside = ((target >= 0) & (target <= 1)) | (target == self.ignore_value)
        if inside.all():
            return None
        return f'values in 0..1 or {self.ignore_value} (ignore) expected, found {np.unique(target[~inside])[:8]}'
