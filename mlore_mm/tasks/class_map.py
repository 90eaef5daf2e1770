"""Tasks whose labels are class ids: semantic segmentation and human parts."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from mlore_mm.registry import TASKS
from mlore_mm.tasks.base import Task
from mlore_mm.tasks.drawing import draw_ids, voc_palette
from mlore_mm.tasks.label_statistics import ClassStatistics
from mlore_mm.tasks.results import ClassMapResult, TaskResult

UNLABELLED = 255  # what the readers of class ids write


@dataclass(frozen=True, kw_only=True)
class ClassMap(Task):
    """One class id per pixel, 0 to out_channels - 1; 255 marks a pixel without a label.

    ``ignore_value`` may be a class that is to be left out, such as 0 for "nothing": then neither it nor 255, which the
    label readers write, counts in loss and metric.
    """

    dtype: str = 'uint8'
    loss: dict = field(default_factory=lambda: dict(type='PixelCrossEntropyLoss'))
    metric: dict = field(default_factory=lambda: dict(type='IoUMetric'))

    error_unit: ClassVar[None] = None
    result_type: ClassVar[type[TaskResult]] = ClassMapResult

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.interpolation != 'nearest':
            raise ValueError(
                f"Task '{self.name}' holds class ids and has interpolation={self.interpolation!r}: between class 3 and "
                f"class 5 it would find class 4. Leave it out, which is 'nearest'."
            )
        for key, entries in (('classes', self.classes), ('palette', self.palette)):
            if entries and len(entries) != self.out_channels:
                raise ValueError(
                    f"Task '{self.name}' has {len(entries)} entries in `{key}`, but out_channels={self.out_channels}: "
                    f'one for every class is needed. Is the background missing, or one left over?'
                )
        doubled = sorted({str(name) for name in self.classes if self.classes.count(name) > 1})
        if doubled:
            raise ValueError(f"Task '{self.name}' has a name more than once in `classes`: {', '.join(doubled)}.")
        if self.palette and not all(len(rgb) == 3 and all(0 <= v <= 255 for v in rgb) for rgb in self.palette):
            raise ValueError(f"`palette` of task '{self.name}' holds colours (red, green, blue) of 0 to 255.")

    @property
    def markers(self) -> tuple[float, ...]:
        """The ids that mark a pixel without a label."""
        return (self.ignore_value,) if self.out_channels > UNLABELLED else (self.ignore_value, UNLABELLED)

    def valid_mask(self, target: Tensor) -> Tensor:
        valid = super().valid_mask(target)
        for marker in self.markers[1:]:
            if marker != self.ignore_value:
                valid = valid & (target != marker).all(dim=-3, keepdim=True)
        return valid

    def statistics(self) -> ClassStatistics:
        return ClassStatistics(self)

    def check_values(self, target: np.ndarray) -> str | None:
        wrong = target >= self.out_channels
        for marker in self.markers:
            wrong &= target != marker
        if not wrong.any():
            return None
        found = np.unique(target[wrong])[:8]
        return f'class ids 0 to {self.out_channels - 1} or {self.ignore_value} (ignore) expected, found {found}'

    def activate(self, logits: Tensor) -> Tensor:
        return logits.softmax(dim=-3)

    def finalize(self, scores: Tensor) -> Tensor:
        """The class of the largest score; -1 where that is NaN or infinite."""
        best, ids = scores.max(dim=-3, keepdim=True)
        return ids.masked_fill(~best.isfinite(), -1)

    def finite_mask(self, pred: Tensor) -> Tensor:
        return super().finite_mask(pred) & (pred >= 0)

    def decode(self, logits: Tensor) -> Tensor:
        return self.finalize(logits)  # the softmax does not change the argmax

    def decode_and_resize(self, logits: Tensor, resize) -> Tensor:
        return resize(self.decode(logits))

    def colours(self) -> np.ndarray:
        """(out_channels, 3) uint8 RGB: the palette of the config, else that of PASCAL VOC."""
        if self.palette:
            return np.asarray(self.palette, dtype=np.uint8)
        return voc_palette(self.out_channels)

    def draw(self, values: np.ndarray, value_range=None) -> np.ndarray:
        return draw_ids(values[0], self.colours())

    def legend(self, *maps: np.ndarray) -> list[tuple[str, tuple[int, int, int]]]:
        present = np.unique(np.concatenate([np.unique(values) for values in maps])).astype(int)
        names, colours = self.classes or range(self.out_channels), self.colours()
        return [(str(names[i]), tuple(map(int, colours[i]))) for i in present if 0 <= i < self.out_channels]

    def error(self, pred: np.ndarray, gt: np.ndarray) -> np.ndarray:
        """1 where the class is wrong, 0 where it is right."""
        return np.where(np.isin(gt[0], self.markers), np.nan, (pred[0] != gt[0]).astype(np.float32))

    file_note: ClassVar[str] = 'PNG: class ids from 0, 255 = none'

    def to_file(self, pred: np.ndarray) -> tuple[np.ndarray, str]:
        return pred[0].astype(np.uint8 if self.out_channels <= 256 else np.uint16), '.png'

    def result(self, pred: np.ndarray) -> ClassMapResult:
        names = tuple(map(str, self.classes or range(self.out_channels)))
        return ClassMapResult(task=self.name, ids=pred[0].astype(np.int64), names=names, palette=self.colours())

    def constant(self, targets: Iterable[Tensor]) -> Tensor:
        """The majority class, (1, 1, 1)."""
        counts = torch.zeros(self.out_channels, dtype=torch.int64)
        for target in targets:
            ids = target[self.valid_mask(target)].long()
            counts += torch.bincount(ids.flatten(), minlength=self.out_channels)
        return counts.argmax().reshape(1, 1, 1)


@TASKS.register_module()
@dataclass(frozen=True, kw_only=True)
class SemSeg(ClassMap):
    """Semantic segmentation."""

    out_channels: int = 21


@TASKS.register_module()
@dataclass(frozen=True, kw_only=True)
class HumanParts(ClassMap):
    """Human part segmentation: 0 is background, 1 to 6 head, torso, upper and lower arm, upper and lower leg.

    An image without any person is ignored as a whole, as in the published training and evaluation.
    """

    out_channels: int = 7
    loss_weight: float = 2.0
    classes: tuple = ('background', 'head', 'torso', 'upper arm', 'lower arm', 'upper leg', 'lower leg')

    def mask_values(self, target: np.ndarray) -> np.ndarray:
        has_part = ((target > 0) & ~np.isin(target, self.markers)).any()
        return target if has_part else np.full_like(target, self.ignore_value)
