"""DenseMTL's exchange block: every task asks every other one what it has found."""

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mlore_mm.models.layers.correlation_attention import CorrelationAttention
from mlore_mm.models.layers.gated_conv import GatedConv

COMBINATIONS = ('add', 'prod', 'concat')


class PairExchange(nn.Module):
    """What one task takes from one other: ``d = ReLU(BN(Conv1x1([self-attention; correlation attention])))``.

    Both look at features extracted from the source's by a convolution of this pair. The part of the last convolution
    that reads the correlation attention runs on its coarse grid and is spread afterwards, which is the same.

    Args:
        channels: C.
        stride: See :class:`CorrelationAttention`.
        self_attention: Whether there is that branch: False, True with C/2 channels, or 'full' with C.
        correlation: Whether there is that branch.
        learned_scale: See :class:`CorrelationAttention`.
    """

    def __init__(
        self,
        channels: int,
        stride: int,
        self_attention: bool | str = True,
        correlation: bool = True,
        learned_scale: bool = True,
    ) -> None:
        super().__init__()
        if not (self_attention or correlation):
            raise ValueError('An exchange of tasks needs self_attention, correlation, or both, but both are off.')
        width = channels if self_attention == 'full' else channels // 2 if self_attention else 0
        self.stride = stride
        self.extract = nn.Conv2d(channels, channels, 3, padding=1)
        self.self_attention = GatedConv(channels, width) if self_attention else None
        self.correlation = CorrelationAttention(channels, stride, learned_scale) if correlation else None
        self.project = nn.Conv2d(width + channels * bool(correlation), channels, 1, bias=False)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, target: Tensor, source: Tensor) -> Tensor:
        """Features (B, C, H, W) of both tasks to what the target takes, (B, C, H, W)."""
        extracted = F.relu(self.extract(source))
        width = 0 if self.self_attention is None else self.self_attention.gate.out_channels
        to_near, to_far = self.project.weight[:, :width], self.project.weight[:, width:]
        out = 0 if self.self_attention is None else F.conv2d(self.self_attention(extracted), to_near)
        if self.correlation is not None:
            found = F.conv2d(self.correlation(target, extracted), to_far)
            out = out + _spread(found, self.stride, target.shape[-2:])
        return F.relu(self.norm(out))


class CrossTaskExchange(nn.Module):
    """``F'_t = F_t + ReLU(BN(Conv1x1([d_st for every other task s])))`` with a :class:`PairExchange` d_st each.

    Source: the multi-task exchange block of DenseMTL (Lopes et al., WACV 2023).
    Differs: the sources of a task stand in the order of the tasks. The published code keeps them in a set, so their
    order, which is the order of channels, changes from process to process.

    Args:
        tasks: Names in order, two or more.
        channels: C of each task's features.
        stride: See :class:`CorrelationAttention`.
        combine: 'add' as above; 'prod' multiplies F_t instead; 'concat' gives ``ReLU(BN(Conv1x1([F_t; d...])))``.
        options: More of :class:`PairExchange`.
    """

    def __init__(self, tasks: Sequence[str], channels: int, stride: int, combine: str = 'add', **options) -> None:
        super().__init__()
        if combine not in COMBINATIONS:
            raise ValueError(f'combine of an exchange of tasks is one of {COMBINATIONS}, but got {combine!r}.')
        self.tasks, self.combine = list(tasks), combine
        self.pairs = nn.ModuleDict(
            {
                t: nn.ModuleDict({s: PairExchange(channels, stride, **options) for s in self.sources(t)})
                for t in self.tasks
            }
        )
        width = channels * (len(self.tasks) - (combine != 'concat'))
        self.join = nn.ModuleDict(
            {
                t: nn.Sequential(nn.Conv2d(width, channels, 1, bias=False), nn.BatchNorm2d(channels), nn.ReLU())
                for t in self.tasks
            }
        )

    def sources(self, target: str) -> list[str]:
        """The tasks that a task takes from, in the order of the tasks."""
        return [task for task in self.tasks if task != target]

    def forward(self, features: Mapping[str, Tensor], targets: Sequence[str]) -> dict[str, Tensor]:
        """Features (B, C, H, W) of all tasks to those of the named ones after the exchange."""
        return {target: self._exchange(features, target) for target in targets}

    def _exchange(self, features: Mapping[str, Tensor], target: str) -> Tensor:
        own = features[target]
        taken = [self.pairs[target][source](own, features[source]) for source in self.sources(target)]
        joined = self.join[target](torch.cat([own, *taken] if self.combine == 'concat' else taken, dim=1))
        if self.combine == 'concat':
            return joined
        return own + joined if self.combine == 'add' else own * joined


def _spread(x: Tensor, stride: int, size: Sequence[int]) -> Tensor:
    """Every pixel repeated ``stride`` times both ways, cut to ``size``."""
    return F.interpolate(x, scale_factor=stride, mode='nearest')[..., : size[0], : size[1]] if stride > 1 else x
