"""The base class of tasks: how labels are stored, augmented and scored, and how predictions are decoded and drawn."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from mlore_mm.registry import METRICS
from mlore_mm.tasks.label_statistics import LabelStatistics
from mlore_mm.tasks.number_statistics import NumberStatistics
from mlore_mm.tasks.results import NumbersResult, TaskResult

NUMBERS_CURE = (
    'Where such numbers mean no label, name them by `ignore` of the label reader: '
    "ignore=('nan', 'inf', 'negative'), or the numbers themselves."
)
INTERPOLATIONS = ('nearest', 'bilinear', 'cubic')  # how labels are resized


@dataclass(frozen=True, kw_only=True)
class Task:
    """Definition of a task, used by data sets, model, metrics and visualization: values and pure functions, no state.

    In the data pipeline a label is a NumPy array (H, W) or (H, W, C); in a data sample and in the model it is a tensor
    (C, H, W) or (B, C, H, W). ``channel_axis`` tells methods that see both which axis is C.

    Args:
        name: Key of the task in configs, data samples, logits and logs.
        out_channels: Channels C that the head predicts.
        target_channels: Channels of the label: 1 for a map of ids or values, 3 for vectors.
        ignore_value: Label value of a pixel that is not labelled; an image without labels is a map full of it.
        pad_value: Label value written where an image is padded, ``ignore_value`` by default. It has to end up ignored
            after ``mask_values``.
        dtype: Storage type of the label in the pipeline; the smallest one that holds every value.
        interpolation: How labels are resized: 'nearest'; 'bilinear', among labelled pixels only; 'cubic', as benchmark
            family A does with normals.
        loss: Config of the loss module, called as ``loss(logits, target, valid)``.
        loss_weight: Weight of this task in the total loss.
        metric: Config of the metric; the task's name is passed to it as ``task``.
        headline: The number of that metric quoted in tables and in the multi-task gain; by default what the metric
            says, as for the next two.
        higher_is_better: Direction of the headline.
        unit: Unit of the headline for tables, such as 'm' or 'deg'.
        classes: Names of the classes, where values are class ids.
        palette: RGB of each class in 0..255; a generated one where empty.
    """

    name: str
    out_channels: int = 1
    target_channels: int = 1
    ignore_value: float = 255
    pad_value: float | None = None
    dtype: str = 'float32'
    interpolation: str = 'nearest'
    loss: dict = field(default_factory=dict)
    loss_weight: float = 1.0
    metric: dict = field(default_factory=dict)
    headline: str = ''
    higher_is_better: bool | None = None
    unit: str | None = None
    classes: tuple = ()
    palette: tuple = ()

    # How values and errors are drawn: with a colour bar where there is a colormap. A limit of None is the largest error
    # of the picture. A unit of None marks errors that are yes or no: they are given as a share.
    colormap: ClassVar[str] = ''
    values_unit: ClassVar[str] = ''
    error_unit: ClassVar[str | None] = ''
    error_limit: ClassVar[float | None] = 1.0
    cure: ClassVar[str] = ''  # what may help where `check_values` finds something, for messages
    file_note: ClassVar[str] = 'NPY: float32 numbers'  # what `to_file` writes, for people
    result_type: ClassVar[type[TaskResult]] = NumbersResult  # what `result` returns; its `kind` goes into exports

    def __post_init__(self) -> None:
        for f in fields(self):  # configs hold lists; a frozen task holds tuples
            value = getattr(self, f.name)
            if isinstance(value, list):
                object.__setattr__(self, f.name, tuple(tuple(v) if isinstance(v, list) else v for v in value))
        if self.interpolation not in INTERPOLATIONS:
            raise ValueError(
                f"Task '{self.name}' has interpolation={self.interpolation!r}, expected one of {INTERPOLATIONS}."
            )
        for key in ('loss', 'metric'):
            if not isinstance(getattr(self, key), Mapping):
                raise ValueError(
                    f"Task '{self.name}' has {key}={getattr(self, key)!r}, expected dict(type='...'). Leave {key} out "
                    'for that of its kind, or the task out of `eval_tasks` where it is not to be evaluated.'
                )
        if self.out_channels < 1:
            raise ValueError(f"Task '{self.name}' needs out_channels >= 1, but got {self.out_channels}.")
        for key, value in self._said_by_metric().items():
            if getattr(self, key) in ('', None):
                object.__setattr__(self, key, value)
        if self.pad_value is None:
            object.__setattr__(self, 'pad_value', self.ignore_value)
        self._check_markers()

    def _check_markers(self) -> None:
        """``ignore_value``, ``pad_value`` and ``dtype`` agree, before a padded image meets a loss."""
        try:
            kind = np.dtype(self.dtype)
        except TypeError as error:
            raise ValueError(f"Task '{self.name}' has dtype={self.dtype!r}, which NumPy does not know.") from error
        for key in ('ignore_value', 'pad_value'):
            value = getattr(self, key)
            if kind.kind in 'iu' and not np.can_cast(np.min_scalar_type(_whole(value)), kind):
                raise ValueError(
                    f"Task '{self.name}' has {key}={value}, which its labels of dtype='{self.dtype}' cannot hold. "
                    f'Change one of them.'
                )
        shape = (1, 1) if self.target_channels == 1 else (1, 1, self.target_channels)
        padding = self.mask_values(np.full(shape, self.pad_value, dtype=kind))
        if self.valid_mask(torch.from_numpy(np.atleast_3d(padding).transpose(2, 0, 1).copy())).any():
            raise ValueError(
                f"Task '{self.name}' has pad_value={self.pad_value} and ignore_value={self.ignore_value}: what is "
                f'padded would count as a label. Leave pad_value out, or set it to the ignored value.'
            )

    def _said_by_metric(self) -> dict:
        """Headline, direction and unit as defined by the metric class."""
        defaults = dict(headline='', higher_is_better=True, unit='')
        return {key: getattr(self._metric_class(), key, default) for key, default in defaults.items()}

    def _metric_class(self) -> type | None:
        kind = self.metric.get('type')
        return METRICS.get(kind) if isinstance(kind, str) else kind

    # ---- labels in the pipeline -------------------------------------------------------------------------------
    def hflip_values(self, values, channel_axis: int = -1):
        """Change values for a mirrored image; pixels are already mirrored. Works on arrays and tensors."""
        return values

    def rescale_values(self, values, scale: float):
        """Change values for an image enlarged by ``scale``; pixels are already resized."""
        return values

    def rotate_values(self, target: np.ndarray, degrees: float) -> np.ndarray:
        """Change values for an image that is then turned counter-clockwise by so many degrees."""
        return target

    def refine_values(self, target: np.ndarray) -> np.ndarray:
        """Bring values back into form that were interpolated."""
        return target

    def mask_values(self, target: np.ndarray) -> np.ndarray:
        """Last step before packing: write ``ignore_value`` at unlabelled pixels."""
        return target

    def check_values(self, target: np.ndarray) -> str | None:
        """A description of invalid values in a freshly loaded label, or None; called at every load."""
        return None

    def statistics(self) -> LabelStatistics:
        """An empty accumulator of label statistics of this task, which also reports implausible labels."""
        return NumberStatistics(self)

    def empty_target(self, height: int, width: int) -> np.ndarray:
        """A label in which every pixel is ignored, for an image that has no label of this task."""
        shape = (height, width) if self.target_channels == 1 else (height, width, self.target_channels)
        return np.full(shape, self.ignore_value, dtype=self.dtype)

    # ---- targets and logits ------------------------------------------------------------------------------------
    def encode(self, target: Tensor) -> Tensor:
        """(B, C, H, W) label to what the loss compares logits with; what stands at ignored pixels does not matter.

        The other direction is :meth:`decode`. Here: the label itself.
        """
        return target

    def valid_mask(self, target: Tensor) -> Tensor:
        """(..., C, H, W) label to (..., 1, H, W) bool: the pixels that count, for loss and metric alike."""
        return (target != self.ignore_value).all(dim=-3, keepdim=True)

    def activate(self, logits: Tensor) -> Tensor:
        """Logits (..., C, H, W) to scores that may be averaged over flips and scales."""
        return logits

    def finalize(self, scores: Tensor) -> Tensor:
        """Scores (..., C, H, W) to the prediction that metrics and pictures take."""
        return scores

    def decode(self, logits: Tensor) -> Tensor:
        """Logits (..., C, H, W) to the prediction: ``finalize(activate(logits))``."""
        return self.finalize(self.activate(logits))

    def decode_and_resize(self, logits: Tensor, resize: Callable[[Tensor], Tensor]) -> Tensor:
        """The prediction at another size, resized as benchmark family A does: not the logits, but what they stand for.

        ``resize`` takes values bilinearly and ids from the nearest pixel. Here: scores are resized.
        """
        return self.finalize(resize(self.activate(logits)))

    def finite_mask(self, pred: Tensor) -> Tensor:
        """Prediction (..., C, H, W) to (..., 1, H, W) bool: the pixels at which all numbers are finite."""
        return pred.isfinite().all(dim=-3, keepdim=True)

    # ---- visualization and files --------------------------------------------------------------------------------
    def draw(self, values: np.ndarray, value_range: tuple[float, float] | None = None) -> np.ndarray:
        """A prediction or label (C, H, W) to an RGB picture (H, W, 3), uint8; ignored pixels are black.

        ``value_range`` are the numbers at both ends of the colormap, for pictures that are to be compared.
        """
        raise NotImplementedError(f'{type(self).__name__} does not implement draw().')

    def value_range(self, *maps: np.ndarray) -> tuple[float, float] | None:
        """One range for ``draw`` that suits all maps (C, H, W); None where there is no colormap."""
        return None

    def legend(self, *maps: np.ndarray) -> list[tuple[str, tuple[int, int, int]]]:
        """What colours mean that no bar explains, as (name, RGB): of classes those present in maps (C, H, W)."""
        return []

    def error(self, pred: np.ndarray, gt: np.ndarray) -> np.ndarray:
        """How wrong a prediction (C, H, W) is at each pixel, (H, W) in ``error_unit``; NaN where ``gt`` is ignored."""
        error = np.abs(pred.astype(np.float32) - gt.astype(np.float32)).mean(axis=0)
        return np.where(self.valid_mask(torch.from_numpy(np.array(gt)))[0].numpy(), error, np.nan)

    def to_file(self, pred: np.ndarray) -> tuple[np.ndarray, str]:
        """A prediction (C, H, W) as the array and the file suffix it is stored with, '.png' or '.npy'.

        Here: float32, (H, W) or (H, W, C).
        """
        return _channels_last(pred), '.npy'

    def result(self, pred: np.ndarray) -> TaskResult:
        """A prediction (C, H, W) as the typed result that the inferencer returns."""
        return NumbersResult(task=self.name, numbers=_channels_last(pred))

    def constant(self, targets: Iterable[Tensor]) -> Tensor:
        """The best prediction that does not look at the image, (C, 1, 1): mean over valid pixels of (C, H, W) labels.

        It is the trivial predictor that a trained model has to beat.
        """
        total, count = torch.zeros(self.target_channels, dtype=torch.float64), 0
        for target in targets:
            valid = self.valid_mask(target)[0]
            total += target[:, valid].double().sum(dim=1)
            count += int(valid.sum())
        return (total / max(count, 1)).float()[:, None, None]

    def to_config(self) -> dict:
        """The plain dict that rebuilds this task, as stored in ``metainfo`` and checkpoints (without the name)."""
        said = self._said_by_metric()
        config = {key: value for key, value in asdict(self).items() if key not in said or value != said[key]}
        config.pop('name')
        return dict(type=type(self).__name__, **config)


def _whole(value: float) -> float:
    """As an integer where it is one, so that NumPy finds the smallest type that holds it."""
    return int(value) if float(value).is_integer() else value


def _channels_last(values: np.ndarray) -> np.ndarray:
    """(C, H, W) to float32 (H, W), or (H, W, C) where there are several channels."""
    values = values.astype(np.float32)
    return values[0] if len(values) == 1 else np.ascontiguousarray(values.transpose(1, 2, 0))
