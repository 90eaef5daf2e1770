"""Attention in which every task attends to every task, with messages from the stage before."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmcv.cnn import ConvModule
from mmengine.model import BaseModule
from torch import Tensor, nn

from mlore_mm.models.layers.task_modules import TaskModules

SCALES = ('width', 'head')


class CrossTaskAttention(BaseModule):
    """One attention over the tokens of all tasks on coarser grids, (T, B, H, W, D) to the same and the raw scores.

    Queries come from a depth-wise convolution of stride 2 per task, keys and values from average pooling; linear maps
    are shared by the tasks. With ``messages`` the raw scores of the stage before, enlarged to this stage's queries, are
    mixed with this stage's by a 1x1 convolution over heads; the result is what is normalised and what goes on.
    Source: InvPT (Ye and Xu, ECCV 2022).
    Differs: the 1x1 convolution is split, which is the same numbers. Its part for the old scores runs before they are
    enlarged, its part for the new ones is multiplied into the queries; the concatenation of both never exists.

    Args:
        tasks: Names of the tasks.
        embed_dims: D.
        num_heads: Heads.
        pool: Side of the windows that keys and values are means over.
        messages: Whether there is a stage before.
        attn_scale: Scores are divided by the root of D ('width', as published) or of D / heads ('head').
    """

    def __init__(
        self,
        tasks: Sequence[str],
        embed_dims: int,
        num_heads: int,
        pool: int,
        messages: bool,
        attn_scale: str = 'width',
    ) -> None:
        super().__init__()
        if embed_dims % num_heads:
            raise ValueError(f'embed_dims={embed_dims} is not a multiple of num_heads={num_heads}.')
        if attn_scale not in SCALES:
            raise ValueError(f'attn_scale is one of {SCALES}, but got {attn_scale!r}.')
        self.tasks, self.heads, self.pool = list(tasks), num_heads, pool
        self.scale = (embed_dims if attn_scale == 'width' else embed_dims // num_heads) ** -0.5
        self.reduce = TaskModules(
            tasks,
            lambda: ConvModule(
                embed_dims, embed_dims, 3, 2, 1, groups=embed_dims, norm_cfg=dict(type='BN'), act_cfg=None
            ),
        )
        self.query, self.key, self.value, self.proj = (nn.Linear(embed_dims, embed_dims) for _ in range(4))
        self.mix = nn.Conv2d(2 * num_heads, num_heads, 1) if messages else None

    def forward(self, tokens: Tensor, message: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Normed tokens (T, B, H, W, D) and the scores of the stage before to the update and this stage's scores.

        Scores are (B, heads, T * queries, T * keys), before softmax; those of the stage before have a quarter of the
        queries and the same keys.
        """
        maps = tokens.permute(0, 1, 4, 2, 3)
        coarse = torch.stack([self.reduce[task](maps[i]) for i, task in enumerate(self.tasks)])
        pooled = F.avg_pool2d(maps.flatten(0, 1), self.pool).unflatten(0, maps.shape[:2])
        q, kv, grid = _join_tasks(coarse), _join_tasks(pooled), coarse.shape[-2:]
        q, k, v = self.query(q), self.key(kv), self.value(kv)
        scores = self.scores(q, k, message, grid)
        heads = scores.softmax(dim=-1) @ v.unflatten(-1, (self.heads, -1)).transpose(1, 2)
        out = self.proj(heads.transpose(1, 2).flatten(2))
        out = out.view(-1, *grid, out.shape[-1]).permute(0, 3, 1, 2)  # maps, channels last in memory
        out = F.interpolate(out, size=tokens.shape[2:4], mode='bilinear', align_corners=False)
        return out.permute(0, 2, 3, 1).unflatten(0, (-1, len(self.tasks))).transpose(0, 1), scores

    def scores(self, q: Tensor, k: Tensor, message: Tensor | None, grid: Sequence[int]) -> Tensor:
        """Queries (B, T*h*w, D) on the grid (h, w) of each task, keys (B, K, D), to (B, heads, T*h*w, K)."""
        q = q.unflatten(-1, (self.heads, -1))
        if self.mix is None:
            return self.scale * q.transpose(1, 2) @ k.unflatten(-1, (self.heads, -1)).permute(0, 2, 3, 1)
        of_new, of_old = self.mix.weight[:, :, 0, 0].split(self.heads, dim=1)
        # Head o's scores are sum_g of_new[o, g] * q_g k_g^T: one product over all D channels with scaled queries.
        q = (q[:, None] * (self.scale * of_new)[:, None, :, None]).flatten(3)
        mixed = torch.einsum('og,bgqk->boqk', of_old, message) + self.mix.bias[:, None, None]
        mixed = _enlarge_queries(mixed, len(self.tasks), grid)
        return torch.baddbmm(mixed.flatten(1, 2), q.flatten(1, 2), k.transpose(1, 2)).view_as(mixed)


def _join_tasks(maps: Tensor) -> Tensor:
    """(T, B, D, h, w) to (B, T*h*w, D)."""
    return maps.flatten(3).permute(1, 0, 3, 2).flatten(1, 2)


def _enlarge_queries(scores: Tensor, tasks: int, grid: Sequence[int]) -> Tensor:
    """(B, heads, T*h/2*w/2, K) to (B, heads, T*h*w, K): the queries of each task are a map, keys are its channels."""
    b, heads, _, keys = scores.shape
    maps = scores.reshape(b * heads * tasks, grid[0] // 2, grid[1] // 2, keys).permute(0, 3, 1, 2)
    maps = F.interpolate(maps, size=tuple(grid), mode='bilinear', align_corners=False)
    return maps.permute(0, 2, 3, 1).reshape(b, heads, -1, keys)
