"""Depth that the network predicts as a logarithm."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from mlore_mm.registry import TASKS
from mlore_mm.tasks.regression import Depth
from mlore_mm.utils.finite import with_nonfinite_of


@TASKS.register_module()
@dataclass(frozen=True, kw_only=True)
class LogDepth(Depth):
    """Labels and predictions in metres, as of :class:`Depth`; logits and loss in ``log(1 + s z) / log(2^16)``.

    With s = 512 steps per metre, those of Taskonomy, the 16-bit codes 0 to 65535 become 0 to 1.
    Source: Taskonomy (Zamir et al., CVPR 2018), as in Mod-Squad (Chen et al., CVPR 2023). Differs: pixels without a
    reading are not counted; there they stand for 128 m.

    Args:
        steps: s, per metre.
        zoom_rule: See :class:`Depth`. Off, as images are brought to one size from another here.
    """

    steps: float = 512.0
    zoom_rule: bool = False

    def encode(self, target: Tensor) -> Tensor:
        """Metres to 0..1; what is marked as below 0 becomes 0."""
        return torch.log1p(self.steps * target.clamp(min=0)) / math.log(2**16)

    def finalize(self, scores: Tensor) -> Tensor:
        """To metres, between 0 and 16 times the farthest code."""
        metres = torch.expm1(scores.clamp(0, 1.25) * math.log(2**16)) / self.steps
        return with_nonfinite_of(metres, scores)
