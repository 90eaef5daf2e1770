"""A task of one's own, inverse depth, and a reader that makes its labels from depth files."""

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from mlore_mm.datasets.label_readers import NpyReader
from mlore_mm.registry import LABEL_READERS, TASKS
from mlore_mm.tasks import DenseRegression


@TASKS.register_module()
@dataclass(frozen=True, kw_only=True)
class Nearness(DenseRegression):
    """1 / distance, in 1/m; 0 marks a pixel without a reading. Far surfaces weigh less than in plain depth.

    Loss (L1), metric (MAE, RMSE) and drawing are those of ``DenseRegression``.
    """

    ignore_value: float = 0
    pad_value: float = 0
    unit: str = '1/m'

    def rescale_values(self, values, scale: float):
        """Zooming in by ``scale`` brings the scene closer: the inverse distance grows by it."""
        return values * scale

    def finalize(self, scores: Tensor) -> Tensor:
        """What is scored and drawn; distances are not negative."""
        return scores.clamp(min=0)

    def check_values(self, target: np.ndarray) -> str | None:
        problem = super().check_values(target)
        if problem is None and target.size and target.min() < 0:
            problem = f'numbers >= 0 expected (0 = no reading), found a minimum of {target.min():.4g}'
        return problem


@LABEL_READERS.register_module()
class NearnessReader(NpyReader):
    """Depth in metres from a ``.npy`` file as 1 / depth; pixels without a reading stay 0."""

    def read(self, path: str) -> np.ndarray:
        metres = super().read(path)
        return np.divide(1, metres, out=np.zeros_like(metres), where=metres > 0)
