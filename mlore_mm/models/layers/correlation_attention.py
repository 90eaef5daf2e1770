"""Attention of one task's map to that of another, on a coarse grid."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class CorrelationAttention(nn.Module):
    """What the target's positions find in the source's, on every ``stride``-th row and column.

    Q comes from the target's features at every r-th row and column, K and V from the largest values of the source's in
    each r x r cell, each through Conv1x1, BN and ReLU. The attention ``softmax(Q^T K / sqrt(C))`` is never kept whole:
    ``scaled_dot_product_attention`` works through it piece by piece. ``plain`` is the definition.
    Source: the correlation-guided attention of DenseMTL (Lopes et al., WACV 2023).
    Differs: a size that ``stride`` does not divide is allowed, where the published code raises an error.

    Args:
        channels: C of both tasks' features.
        stride: r.
        learned_scale: A factor per channel on the result, 0 at the start.
    """

    def __init__(self, channels: int, stride: int, learned_scale: bool = True) -> None:
        super().__init__()
        self.stride = stride
        self.query, self.key, self.value = (
            nn.Sequential(nn.Conv2d(channels, channels, 1, bias=False), nn.BatchNorm2d(channels), nn.ReLU())
            for _ in range(3)
        )
        self.alpha = nn.Parameter(torch.zeros(1, channels, 1, 1)) if learned_scale else None

    def forward(self, target: Tensor, source: Tensor) -> Tensor:
        """Features (B, C, H, W) of the target and extracted ones of the source to (B, C, ceil(H/r), ceil(W/r))."""
        query, key, value = self.project(target, source)
        found = F.scaled_dot_product_attention(*(_as_sequence(x) for x in (query, key, value)))
        return self._scaled(found[:, 0].transpose(1, 2).reshape(query.shape))

    def plain(self, target: Tensor, source: Tensor) -> Tensor:
        """:meth:`forward`, with the whole matrix of attention."""
        query, key, value = self.project(target, source)
        found = self.weights(query, key) @ value.flatten(2).transpose(1, 2)
        return self._scaled(found.transpose(1, 2).reshape(query.shape))

    def project(self, target: Tensor, source: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Q, K and V as maps (B, C, h, w) on the coarse grid."""
        coarse = F.max_pool2d(source, self.stride, ceil_mode=True) if self.stride > 1 else source
        return self.query(target[..., :: self.stride, :: self.stride]), self.key(coarse), self.value(coarse)

    @staticmethod
    def weights(query: Tensor, key: Tensor) -> Tensor:
        """(B, positions of the target, positions of the source); rows add up to 1."""
        logits = query.flatten(2).transpose(1, 2) @ key.flatten(2)
        return (logits / math.sqrt(query.shape[1])).softmax(dim=-1)

    def _scaled(self, found: Tensor) -> Tensor:
        return found if self.alpha is None else self.alpha * found


def _as_sequence(x: Tensor) -> Tensor:
    """(B, C, h, w) to (B, 1, h*w, C), one head."""
    return x.flatten(2).transpose(1, 2)[:, None]
