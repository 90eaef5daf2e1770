"""MTI-Net's step from one scale to the next finer one."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from mlore_mm.models.layers.residual_blocks import BasicBlock
from mlore_mm.models.layers.squeeze_excite import SqueezeExcite


class FeaturePropagation(nn.Module):
    """What the tasks' features say together, added to each of them.

    With K the concatenation of the N tasks' features (N*C channels, task by task), ``m = softmax(mask(K))`` weighs the
    tasks, ``R = reduce(m * K)`` has C channels, and task a gets ``SE_a(R) + F_a``.
    Source: MTI-Net (Vandenhende et al., ECCV 2020), Sec. 3.2.
    Differs: the softmax is over the tasks, as the paper says. In the published code it is over N neighbouring channels,
    which belong to one task, or to two; ``legacy_layout`` does the same, and published weights need it.

    Args:
        tasks: Names of the N tasks. Their order is the order of the channels of K and so part of a checkpoint.
        channels: C, 16 or more.
        legacy_layout: See above.
    """

    def __init__(self, tasks: Sequence[str], channels: int, legacy_layout: bool = False) -> None:
        super().__init__()
        self.tasks, self.legacy_layout = list(tasks), legacy_layout
        joint, quarter = len(tasks) * channels, len(tasks) * channels // 4
        self.mask = nn.Sequential(
            BasicBlock(joint, quarter), BasicBlock(quarter, quarter), nn.Conv2d(quarter, joint, 1)
        )
        self.reduce = BasicBlock(joint, channels, shortcut_conv=True)
        self.squeeze_excite = nn.ModuleDict({task: SqueezeExcite(channels) for task in tasks})

    def forward(self, features: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Features (B, C, h, w) of all tasks to the same of what goes on to the next scale."""
        joint = torch.cat([features[task] for task in self.tasks], dim=1)
        together = self.reduce(self.weights(self.mask(joint)) * joint)
        return {task: self.squeeze_excite[task](together) + features[task] for task in self.tasks}

    def weights(self, logits: Tensor) -> Tensor:
        """Softmax of logits (B, N*C, h, w), channel a*C + k for channel k of task a."""
        number = len(self.tasks)
        if self.legacy_layout:
            return logits.unflatten(1, (-1, number)).softmax(dim=2).flatten(1, 2)
        return logits.unflatten(1, (number, -1)).softmax(dim=1).flatten(1, 2)
