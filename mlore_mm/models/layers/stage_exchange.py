"""What encoders of several tasks hand each other after a stage: Cross-stitch units and NDDR layers."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from mlore_mm.registry import MODELS


@MODELS.register_module()
class CrossStitch(nn.Module):
    """``x_t <- sum over u of alpha_tu * x_u`` with a number per channel: features by task to the same.

    Source: Cross-stitch networks (Misra et al., CVPR 2016).

    Args:
        tasks: Names of the tasks, in the order of the sum.
        channels: Of the features.
        alpha: What a task takes of itself at the start.
        beta: What it takes of each other one.
    """

    stages = ('layer1', 'layer2', 'layer3', 'layer4')

    def __init__(self, tasks: Sequence[str], channels: int, alpha: float = 0.9, beta: float = 0.1) -> None:
        super().__init__()
        self.weight = nn.ModuleDict(
            {t: nn.ParameterDict({u: torch.full((channels,), alpha if t == u else beta) for u in tasks}) for t in tasks}
        )

    def forward(self, features: Mapping[str, Tensor], tasks: Sequence[str]) -> dict[str, Tensor]:
        return {t: sum(w[:, None, None] * features[u] for u, w in self.weight[t].items()) for t in tasks}


@MODELS.register_module()
class NDDR(nn.Module):
    """``x_t <- ReLU(BN_t(Conv1x1_t(all x_u)))``: features by task to the same.

    The convolution has no bias and starts as a weighted sum of the tasks; BN has a momentum of 0.05.
    Source: NDDR-CNN (Gao et al., CVPR 2019).

    Args:
        tasks: Names of the tasks. Their order is that of the convolutions' inputs and so part of a checkpoint.
        channels: Of the features.
        alpha: Weight of a task's own features at the start.
        beta: Weight of those of each other one.
    """

    stages = ('stem', 'layer1', 'layer2', 'layer3', 'layer4')

    def __init__(self, tasks: Sequence[str], channels: int, alpha: float = 0.9, beta: float = 0.1) -> None:
        super().__init__()
        self.tasks = list(tasks)
        self.mix = nn.ModuleDict({t: self._make(t, channels, alpha, beta) for t in tasks})

    def _make(self, task: str, channels: int, alpha: float, beta: float) -> nn.Sequential:
        conv = nn.Conv2d(len(self.tasks) * channels, channels, 1, bias=False)
        own = torch.eye(channels)
        start = torch.cat([(alpha if u == task else beta) * own for u in self.tasks], dim=1)
        conv.weight.data.copy_(start[..., None, None])
        return nn.Sequential(conv, nn.BatchNorm2d(channels, momentum=0.05))

    def forward(self, features: Mapping[str, Tensor], tasks: Sequence[str]) -> dict[str, Tensor]:
        joint = torch.cat([features[u] for u in self.tasks], dim=1)
        return {t: self.mix[t](joint).relu() for t in tasks}
