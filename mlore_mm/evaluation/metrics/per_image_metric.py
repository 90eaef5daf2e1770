"""Depth and normals by image, then averaged over images, as DenseMTL reports them."""

from abc import abstractmethod

import torch
import torch.nn.functional as F
from torch import Tensor

from mlore_mm.evaluation.functional import angular_error, depth_sums
from mlore_mm.evaluation.functional.depth import depth_errors
from mlore_mm.evaluation.metrics.base import TaskMetric
from mlore_mm.evaluation.metrics.depth_metric import check_limits
from mlore_mm.registry import METRICS
from mlore_mm.utils.vectors import lengths

LIMITS = (11.25, 22.5, 30.0)  # degrees
LEGACY_SHIFT = 0.99  # metres by which the published conversion from inverse depth is short


class PerImageMetric(TaskMetric):
    """Numbers of every image with a valid pixel, averaged over these images; not to be mixed with those over pixels."""

    def measure(self, prediction: Tensor, target: Tensor, valid: Tensor) -> dict[str, Tensor]:
        prediction, target, valid = self.prepare(prediction.double(), target.double(), valid)
        count = valid.sum()
        names = self.names()
        found = self.numbers(prediction, target, valid) if count else dict.fromkeys(names, target.new_zeros(()))
        return dict(found, images=(count > 0).long(), count=count)

    def summarize(self, totals: dict[str, Tensor]) -> dict[str, float]:
        return self.finish({name: totals[name] for name in self.names()}, totals['images'])

    def prepare(self, prediction: Tensor, target: Tensor, valid: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What is compared, and where."""
        return prediction, target, valid

    @abstractmethod
    def names(self) -> tuple[str, ...]:
        """Of the numbers of an image."""

    @abstractmethod
    def numbers(self, prediction: Tensor, target: Tensor, valid: Tensor) -> dict[str, Tensor]:
        """The numbers of one image that has a valid pixel."""

    @abstractmethod
    def finish(self, sums: dict[str, Tensor], images: Tensor) -> dict[str, float]:
        """What is reported, from sums over the images."""


@METRICS.register_module()
class PerImageDepthMetric(PerImageMetric):
    """As :class:`DepthMetric`, but per image: RMSE is the root of the mean over images of the mean squared error.

    Predictions are clamped to the range of labels that count.
    Source: DenseMTL (Lopes et al., WACV 2023).
    Differs: an image without a valid pixel is skipped, where the published code gives NaN for all.

    Args:
        task: See ``TaskMetric``, as are the arguments not named here.
        min_depth: Metres; labels at or below do not count, in the loss neither (``Depth`` reads both). 1 mm as
            published.
        max_depth: Metres; labels at or beyond do not count. 80 m as published.
        median_scaling: Predictions are multiplied so that their median in the image is the label's (of an even number
            of pixels the lower one of the middle); for networks that know depth up to a factor.
        legacy_depth_offset: Labels and predictions 0.99 m short, as in the published code. RMSE changes little; pixels
            nearer than that are left out, and the relative errors are others.
    """

    headline = 'RMSE'
    higher_is_better = False
    unit = 'm'
    limits = (1e-3, 80.0)  # the defaults of min_depth and max_depth

    def __init__(
        self,
        task: str,
        median_scaling: bool = False,
        legacy_depth_offset: bool = False,
        min_depth: float = limits[0],
        max_depth: float = limits[1],
        **kwargs,
    ) -> None:
        super().__init__(task, **kwargs)
        check_limits(self, min_depth, max_depth)
        self.min_depth, self.max_depth = min_depth, max_depth
        self.median_scaling, self.legacy_depth_offset = median_scaling, legacy_depth_offset

    def prepare(self, prediction: Tensor, target: Tensor, valid: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        if self.legacy_depth_offset:
            prediction, target = prediction - LEGACY_SHIFT, target - LEGACY_SHIFT
        valid = valid & (target > self.min_depth) & (target < self.max_depth)
        if self.median_scaling and valid.any():
            prediction = prediction * (target[valid].median() / prediction[valid].median())
        return prediction.clamp(self.min_depth, self.max_depth), target, valid

    def names(self) -> tuple[str, ...]:
        return ('RMSE', 'logRMSE', 'absRel', 'sqRel', 'delta1', 'delta2', 'delta3')

    def numbers(self, prediction: Tensor, target: Tensor, valid: Tensor) -> dict[str, Tensor]:
        return {name: total / valid.sum() for name, total in depth_sums(prediction, target, valid).items()}

    def finish(self, sums: dict[str, Tensor], images: Tensor) -> dict[str, float]:
        return depth_errors(sums, images)


@METRICS.register_module()
class PerImageNormalsMetric(PerImageMetric):
    """As :class:`NormalsMetric`, but per image; the median of an even number of pixels is the lower one of the middle.

    Source: DenseMTL (Lopes et al., WACV 2023).
    Differs: ``legacy``.

    Args:
        task: See ``TaskMetric``, as are the arguments not named here.
        shortest: Length from which a label is one; files of 8 bits hold no normal as a vector of almost no length.
        legacy: The published numbers, which are no angles: lengths are taken over the rows of the image and not over
            the three channels, and all pixels count. The published code does so with predictions of any length on
            outdoor data sets, where our predictions have unit length.
    """

    headline = 'mErr'
    higher_is_better = False
    unit = 'deg'

    def __init__(self, task: str, shortest: float = 0.1, legacy: bool = False, **kwargs) -> None:
        super().__init__(task, **kwargs)
        self.shortest, self.legacy = shortest, legacy

    def prepare(self, prediction: Tensor, target: Tensor, valid: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        if self.legacy:
            return prediction, torch.where(valid, target, 0), torch.ones_like(valid)
        return prediction, target, valid & (lengths(target) >= self.shortest)

    def names(self) -> tuple[str, ...]:
        return ('mErr', 'median', 'RMSE', *(f'below_{limit:g}' for limit in LIMITS))

    def numbers(self, prediction: Tensor, target: Tensor, valid: Tensor) -> dict[str, Tensor]:
        if self.legacy:
            angles = _angles_over_rows(prediction, target)
        else:
            angles = angular_error(prediction, torch.where(valid, target, 0))[valid]
        below = (100 * (angles < limit).double().mean() for limit in LIMITS)
        values = (angles.mean(), angles.median(), angles.square().mean(), *below)
        return dict(zip(self.names(), values, strict=True))

    def finish(self, sums: dict[str, Tensor], images: Tensor) -> dict[str, float]:
        means = {name: (total / images).item() for name, total in sums.items()}
        return dict(means, RMSE=means['RMSE'] ** 0.5)


def _angles_over_rows(prediction: Tensor, target: Tensor) -> Tensor:
    """The published formula with its axis: (3, H, W) to (3, W)."""
    target = F.normalize(target, dim=0)
    sides = (torch.linalg.vector_norm(v, dim=1) for v in (prediction - target, prediction + target))
    return torch.rad2deg(2 * torch.atan2(*sides))
