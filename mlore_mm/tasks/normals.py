"""Surface normals."""

from dataclasses import dataclass, field
from typing import ClassVar

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mlore_mm.registry import TASKS
from mlore_mm.tasks.base import NUMBERS_CURE, Task
from mlore_mm.tasks.number_statistics import VectorStatistics
from mlore_mm.tasks.results import NormalsResult, TaskResult
from mlore_mm.utils.vectors import unit_vectors


def _squared_length(vectors: np.ndarray) -> np.ndarray:
    """(H, W, C) to (H, W) float32."""
    vectors = np.asarray(vectors, dtype=np.float32)
    return cv2.transform(cv2.multiply(vectors, vectors), np.ones((1, vectors.shape[-1]), dtype=np.float32))


@TASKS.register_module()
@dataclass(frozen=True, kw_only=True)
class SurfaceNormals(Task):
    """Unit vectors in camera space, x to the right; a zero vector or 255 in any channel marks no label.

    Padding writes the zero vector and ``mask_values`` then turns every zero vector into 255, as in the published data
    pipeline, and with ``length_range=(0.5, 1.2)`` also every vector that is shorter or longer and so no direction.
    """

    out_channels: int = 3
    target_channels: int = 3
    pad_value: float = 0
    length_range: tuple = ()
    loss: dict = field(default_factory=lambda: dict(type='NormalsL1Loss'))
    loss_weight: float = 10.0
    metric: dict = field(default_factory=lambda: dict(type='NormalsMetric'))

    error_unit: ClassVar[str] = 'deg'
    error_limit: ClassVar[float] = 60.0
    cure: ClassVar[str] = NUMBERS_CURE
    result_type: ClassVar[type[TaskResult]] = NormalsResult

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.out_channels, self.target_channels) != (3, 3):
            raise ValueError(
                f"Task '{self.name}' predicts vectors x, y, z, but got out_channels={self.out_channels} and "
                f'target_channels={self.target_channels}. Both are 3, and need not be written.'
            )

    def hflip_values(self, values, channel_axis: int = -1):
        """The x component changes sign; ignored pixels stay as they are."""
        values = values.copy() if isinstance(values, np.ndarray) else values.clone()
        index = [slice(None)] * values.ndim
        index[channel_axis] = 0
        x = values[tuple(index)]
        ignored = x == self.ignore_value
        x *= -1
        x[ignored] = self.ignore_value
        return values

    def rotate_values(self, target: np.ndarray, degrees: float) -> np.ndarray:
        """x and y turn; they are counted as in the published data, and ignored pixels stay as they are."""
        angle = np.deg2rad(degrees)
        x, y = target[..., 0], target[..., 1]
        turned = target.copy()
        turned[..., 0] = x * np.cos(angle) + y * np.sin(angle)
        turned[..., 1] = y * np.cos(angle) - x * np.sin(angle)
        return np.where((target == self.ignore_value).any(axis=-1, keepdims=True), target, turned)

    def refine_values(self, target: np.ndarray) -> np.ndarray:
        """Unit vectors again, as published; what has no length stays."""
        return target / (np.linalg.norm(target, axis=-1, keepdims=True) + np.finfo(np.float32).eps)

    def mask_values(self, target: np.ndarray) -> np.ndarray:
        origin = (0.0,) * target.shape[-1]
        zero = cv2.inRange(target, origin, origin)  # (H, W) of 0 and 255, 10 times as fast as NumPy's reductions over 3
        if self.length_range:
            low, high = self.length_range
            zero |= ~cv2.inRange(_squared_length(target), low**2, high**2)
            marked = np.full(target.shape, self.ignore_value, dtype=np.float32)
            return cv2.copyTo(np.asarray(target, dtype=np.float32), ~zero, marked)
        shift = cv2.merge([zero] * target.shape[-1])
        return cv2.addWeighted(target, 1, shift, self.ignore_value / 255, 0, dtype=cv2.CV_32F)

    def statistics(self) -> VectorStatistics:
        return VectorStatistics(self)

    def check_values(self, target: np.ndarray) -> str | None:
        if not target.size:
            return None
        if not cv2.checkRange(np.asarray(target), minVal=-1.001, maxVal=1.001)[0]:  # one pass, where NumPy takes four
            if not np.isfinite(target).all():
                return 'finite vectors expected, found NaN or infinite components'
            inside = (np.abs(target) <= 1.001) | (target == self.ignore_value)
            if not inside.all():
                return f'components in -1..1 expected, found {target[~inside][:4]}'
        squared = _squared_length(target)
        vectors, units = (
            cv2.countNonZero(cv2.inRange(squared, low, high))
            for low, high in ((float(np.finfo(np.float32).tiny), 1.8**2), (0.3**2, 1.4**2))
        )
        return None if units > vectors / 2 else self._check_lengths(np.sqrt(squared))

    @staticmethod
    def _check_lengths(lengths: np.ndarray) -> str | None:
        """Vectors that were averaged may be short here and there, and none is long; most of them are unit vectors.

        Where all that are not have one length, they are a mark, which ``check_dataset.py`` names.
        """
        lengths = lengths[(lengths > 0) & (lengths <= 1.8)]  # the others say that they are no labels
        far = (lengths < 0.3) | (lengths > 1.4)
        if not lengths.size or far.mean() <= 0.5 or np.ptp(lengths[far]) < 1e-3:
            return None
        return (
            f'vectors of unit length expected, but {100 * far.mean():.0f} % of them are far from it (median length '
            f'{np.median(lengths):.2f}). Components of 0..1 in a .npy file need scale=2, offset=-1 of NpyReader'
        )

    def activate(self, logits: Tensor) -> Tensor:
        return unit_vectors(logits)

    def finalize(self, scores: Tensor) -> Tensor:
        return unit_vectors(scores)

    def decode_and_resize(self, logits: Tensor, resize) -> Tensor:
        """Between pixels the vectors are shorter than one; metrics that take angles do not mind."""
        return resize(self.decode(logits))

    def draw(self, values: np.ndarray, value_range=None) -> np.ndarray:
        ignored = ((values == self.ignore_value) | ~np.isfinite(values)).any(axis=0) | (values == 0).all(axis=0)
        return np.where(ignored[..., None], 0, self._colours(np.where(ignored, 0, values))).astype(np.uint8)

    def legend(self, *maps: np.ndarray) -> list[tuple[str, tuple[int, int, int]]]:
        """The colours of the axes."""
        axes = np.concatenate([np.eye(3), -np.eye(3)[:2]]).T[:, None]  # (3, 1, 5); nothing seen faces away: no -z
        names = ('+x (right)', '+y', '+z', '-x', '-y')
        return [(name, tuple(map(int, rgb))) for name, rgb in zip(names, self._colours(axes)[0], strict=True)]

    @staticmethod
    def _colours(values: np.ndarray) -> np.ndarray:
        """(3, H, W) in -1..1 to (H, W, 3) RGB."""
        return ((np.clip(values, -1, 1) + 1) * 127.5 + 0.5).astype(np.uint8).transpose(1, 2, 0)

    def error(self, pred: np.ndarray, gt: np.ndarray) -> np.ndarray:
        """The angle between the vectors in degrees; 2 atan2(|p - q|, |p + q|) is exact for small angles too."""
        marked = self.mask_values(np.ascontiguousarray(gt.transpose(1, 2, 0), dtype=np.float32))
        ignored = (marked == self.ignore_value).any(axis=-1)
        p, q = (v / np.maximum(np.linalg.norm(v, axis=0), 1e-12) for v in (pred, np.where(ignored, 0, gt)))
        angle = 2 * np.degrees(np.arctan2(np.linalg.norm(p - q, axis=0), np.linalg.norm(p + q, axis=0)))
        return np.where(ignored, np.nan, angle)

    def result(self, pred: np.ndarray) -> NormalsResult:
        unit = np.ascontiguousarray(pred.astype(np.float32).transpose(1, 2, 0))
        return NormalsResult(task=self.name, unit=unit)

    def constant(self, targets) -> Tensor:
        """The direction of the mean normal, (3, 1, 1)."""
        mean = super().constant(targets)
        return F.normalize(mean, dim=0) if torch.linalg.norm(mean) > 0 else mean
