"""The InvPT decoder, and a plain ViT, as their equations read, without any rearrangement.

Maps are enlarged before they are convolved or projected, the scores of two stages are concatenated before they are
mixed, and attention matrices are built. It shares no computation with :class:`InvPTHead`, only the parameters, so that
gradients can be compared as they are. It is the reference of the tests and the baseline of the measurements.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mlore_mm.models.backbones.vit import PlainViT, TransformerLayer
from mlore_mm.models.decode_heads import InvPTHead
from mlore_mm.models.layers import CrossTaskAttention, InvPTStage
from mlore_mm.models.output import MultiTaskOutput


class LiteralInvPTHead(nn.Module):
    """An :class:`InvPTHead` computed literally; takes its place in a model."""

    def __init__(self, head: InvPTHead) -> None:
        super().__init__()
        self.head = head

    def forward(self, feats, tasks: Sequence[str] | None = None) -> MultiTaskOutput:
        head = self.head
        wanted, names = head.active_tasks(tasks), list(head.tasks.names)
        fine, middle, top = head.select(feats)
        start = resize(top, [x * head.top_stride // 32 for x in top.shape[-2:]])
        maps, intermediate = [], {}
        for task in names:
            features = head.preliminary[task](start)
            intermediate[task] = head.intermediate[task](features)
            maps.append(head.mix[task](torch.cat([features, intermediate[task]], dim=1)))
        skips = [None, head.skips[0](middle), head.skips[1](fine)]
        scores, parts = None, []
        for s, (stage, skip) in enumerate(zip(head.stages, skips, strict=True)):
            maps, scores = stage_output(stage, names, maps, skip, scores)
            parts.append(normed_parts(head, s, names, maps))
        size = [8 * x for x in start.shape[-2:]]
        fusion, logits = head.fusion, {}
        for i, task in enumerate(names):
            total = sum(resize(part[i], size) for part in parts)
            x = F.relu(fusion.norm[task](fusion.conv[task](total)))
            logits[task] = fusion.predict[task](x)
        logits = {task: logits[task] for task in wanted}
        auxiliary = {'intermediate': {task: intermediate[task] for task in wanted}} if head.training else {}
        return MultiTaskOutput(logits=logits, auxiliary=auxiliary)


def stage_output(
    stage: InvPTStage, names: Sequence[str], maps: list[Tensor], skip: Tensor | None, message: Tensor | None
) -> tuple[list[Tensor], Tensor]:
    """Maps (B, D, H, W) of all tasks and scores after one stage."""
    if stage.enlarge is not None:
        enlarged = []
        for task, x in zip(names, maps, strict=True):
            convs = stage.enlarge[task]
            x = resize(x, [2 * n for n in x.shape[-2:]])
            x = F.relu(convs.norm1(F.conv2d(x, convs.conv1.weight, padding=2, dilation=2)))
            enlarged.append(F.relu(convs.norm2(convs.conv2(x))) + skip)
        maps = enlarged
    size = maps[0].shape[-2:]
    tokens = join(maps)
    normed = split(stage.norm1(tokens), len(names), size)
    update, scores = attend(stage.attn, names, normed, message)
    tokens = tokens + join([resize(x, size) for x in update])
    tokens = tokens + stage.mlp(stage.norm2(tokens))
    return split(tokens, len(names), size), scores


def attend(
    attn: CrossTaskAttention, names: Sequence[str], maps: list[Tensor], message: Tensor | None
) -> tuple[list[Tensor], Tensor]:
    """Updates on the grid of the queries, and the fused scores."""
    queries = [attn.reduce[task](x) for task, x in zip(names, maps, strict=True)]
    pooled = join([F.avg_pool2d(x, attn.pool) for x in maps])
    grid, t = queries[0].shape[-2:], len(names)
    q, k, v = (
        linear(x).unflatten(-1, (attn.heads, -1)).transpose(1, 2)
        for linear, x in ((attn.query, join(queries)), (attn.key, pooled), (attn.value, pooled))
    )
    scores = q @ k.transpose(-2, -1) * attn.scale
    if attn.mix is not None:
        b, heads, _, keys = message.shape
        old = message.view(b, heads, t, grid[0] // 2, grid[1] // 2, keys).permute(0, 1, 2, 5, 3, 4).flatten(0, 2)
        old = resize(old, grid).flatten(2).view(b, heads, t, keys, -1).transpose(-2, -1).flatten(2, 3)
        scores = attn.mix(torch.cat([scores, old], dim=1))
    out = attn.proj((scores.softmax(dim=-1) @ v).transpose(1, 2).flatten(2))
    return split(out, t, grid), scores


def normed_parts(head: InvPTHead, stage: int, names: Sequence[str], maps: list[Tensor]) -> list[Tensor]:
    """What one stage adds to the sum of each task, at its own size."""
    joined = torch.cat(maps, dim=1)
    normed = head.fusion.norms[stage](joined.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
    parts = normed.chunk(len(names), dim=1)
    if stage == 0:
        return list(parts)
    return [head.fusion.project[stage - 1][task](x) for task, x in zip(names, parts, strict=True)]


def join(maps: Sequence[Tensor]) -> Tensor:
    """Maps (B, D, H, W) of T tasks to tokens (B, T*H*W, D)."""
    return torch.cat([x.flatten(2).transpose(1, 2) for x in maps], dim=1)


def split(tokens: Tensor, tasks: int, size: Sequence[int]) -> list[Tensor]:
    """The opposite of :func:`join`."""
    return [x.transpose(1, 2).unflatten(2, tuple(size)) for x in tokens.chunk(tasks, dim=1)]


def resize(x: Tensor, size: Sequence[int]) -> Tensor:
    return F.interpolate(x, size=tuple(size), mode='bilinear', align_corners=False)


class LiteralViT(nn.Module):
    """A :class:`PlainViT` with attention matrices that are built, one operation after the other."""

    def __init__(self, vit: PlainViT) -> None:
        super().__init__()
        self.vit = vit

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        attentions = [layer.attn['attn'] for layer in self.vit.layers if isinstance(layer, TransformerLayer)]
        for attention in attentions:
            attention.forward = lambda x, attention=attention: built_attention(attention, x)
        try:
            return self.vit(x)
        finally:
            for attention in attentions:
                del attention.forward


def built_attention(attention: nn.Module, x: Tensor) -> Tensor:
    """Self-attention (B, L, C) by the matrix of all pairs."""
    qkv = F.linear(x, attention.in_proj_weight, attention.in_proj_bias)
    q, k, v = qkv.unflatten(-1, (3, attention.heads, -1)).permute(2, 0, 3, 1, 4)
    weights = (q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5).softmax(dim=-1)
    return attention.out_proj((weights @ v).transpose(1, 2).flatten(2))
