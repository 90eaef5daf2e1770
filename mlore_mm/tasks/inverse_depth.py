"""Depth that the network predicts as inverse depth."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from mlore_mm.registry import TASKS
from mlore_mm.tasks.regression import Depth

# q = 65536 / (100 z + 1), z in metres: 65536 right at the camera, 648.9 at 1 m, 8.2 at 80 m.
_NUMERATOR, _OFFSET = 655.36, 0.01
_FARTHEST = 1e4  # metres; where the network says 0


def to_inverse_depth(metres: Tensor) -> Tensor:
    """Metres z to q = 655.36 / (z + 0.01)."""
    return _NUMERATOR / (metres + _OFFSET)


def to_metres(inverse: Tensor) -> Tensor:
    """q to metres z = 655.36 / q - 0.01; 0 where that is below, also for q below 0; NaN for q that is not finite."""
    metres = torch.clamp(_NUMERATOR / inverse - _OFFSET, min=0, max=_FARTHEST)
    return metres + 0 * inverse  # 1 / inf would pass for a depth of 0


@TASKS.register_module()
@dataclass(frozen=True, kw_only=True)
class InverseDepth(Depth):
    """Labels and predictions in metres, as of :class:`Depth`; logits and loss in inverse depth, up to 65536.

    Source: DenseMTL (Lopes et al., WACV 2023).
    Differs: metres are 655.36/q - 0.01, where the published code takes 1 for 0.01 and so is 0.99 m short, in labels and
    predictions alike; for numbers that compare see ``legacy_depth_offset`` of :class:`PerImageDepthMetric`. Pixels
    without a reading are masked, where the published code takes those of NYUD-v2 for the nearest possible. The loss
    counts the range that the metric counts, 1 mm to 80 m, where the published one takes any distance in training:
    ``metric=dict(max_depth=float('inf'))``.

    Args:
        zoom_rule: Metres are divided by the scale when an image is resized, see :class:`Depth`. Off by default, as
            images are stretched to one size here and intrinsics follow.
    """

    loss: dict = field(default_factory=lambda: dict(type='BerHuLoss'))
    metric: dict = field(default_factory=lambda: dict(type='PerImageDepthMetric'))
    zoom_rule: bool = False

    def encode(self, target: Tensor) -> Tensor:
        """Metres to inverse depth; pixels without a reading become 65536."""
        return to_inverse_depth(target)

    def finalize(self, scores: Tensor) -> Tensor:
        return to_metres(scores)
