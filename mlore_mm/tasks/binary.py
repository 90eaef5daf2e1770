"""Yes or no per pixel, by one logit or by two: what saliency and boundaries share."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from torch import Tensor

from mlore_mm.tasks.base import Task
from mlore_mm.tasks.drawing import draw_scalar, probability_to_bytes
from mlore_mm.tasks.results import ProbabilityResult, TaskResult
from mlore_mm.utils.finite import with_nonfinite_of


def probability(logits: Tensor) -> Tensor:
    """Logits (..., 1, H, W) through a sigmoid, or (..., 2, H, W) through a softmax; channels stay.

    An infinite logit becomes NaN, and not a probability of 0 or 1.
    """
    scores = logits.sigmoid() if logits.shape[-3] == 1 else logits.softmax(dim=-3)
    return with_nonfinite_of(scores, logits)


def foreground(scores: Tensor) -> Tensor:
    """The probability (..., 1, H, W) of the last channel."""
    return scores.narrow(-3, scores.shape[-3] - 1, 1)


def check_two_class(task: Task) -> None:
    """
    Raises:
        ValueError: The task asks for another number of channels than 1 or 2.
    """
    if task.out_channels not in (1, 2):
        raise ValueError(
            f"Task '{task.name}' ({type(task).__name__}) is yes or no per pixel: out_channels is 1 (one logit) or 2 "
            f'(logits of no and yes), but got {task.out_channels}.'
        )
    if 0 <= task.ignore_value <= 1:
        raise ValueError(
            f"Task '{task.name}' ({type(task).__name__}) has labels from 0 to 1, so ignore_value={task.ignore_value} "
            f'would leave labels out. Leave it at 255, and name unlabelled pixels by `ignore` of the label reader.'
        )


@dataclass(frozen=True, kw_only=True)
class BinaryTask(Task):
    """A task whose prediction is the probability of yes; a subclass has defaults, labels and ``colormap``."""

    result_type: ClassVar[type[TaskResult]] = ProbabilityResult
    values_unit: ClassVar[str] = 'probability'
    file_note: ClassVar[str] = 'PNG: probability times 255'

    def __post_init__(self) -> None:
        super().__post_init__()
        check_two_class(self)

    def activate(self, logits: Tensor) -> Tensor:
        return probability(logits)

    def finalize(self, scores: Tensor) -> Tensor:
        return foreground(scores)

    def value_range(self, *maps: np.ndarray) -> tuple[float, float]:
        return 0.0, 1.0

    def draw(self, values: np.ndarray, value_range=None) -> np.ndarray:
        return draw_scalar(np.where(values[0] == self.ignore_value, 0, values[0]), 0, 1, self.colormap)

    def to_file(self, pred: np.ndarray) -> tuple[np.ndarray, str]:
        return probability_to_bytes(pred[0]), '.png'

    def result(self, pred: np.ndarray) -> ProbabilityResult:
        return ProbabilityResult(task=self.name, probability=pred[0].astype(np.float32))
