"""TaskPrompter as its equations read: attention and all affinities built in every block, maps enlarged before the head.

It shares no computation with :class:`TaskPrompterViT` and :class:`TaskPrompterHead`, only the parameters. The channels'
attention, which the published code computes and throws away, is left out of the baseline.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.literal_mlore import head_output
from mlore_mm.models.backbones.task_prompter_vit import PromptedLayer, TaskPrompterViT
from mlore_mm.models.decode_heads import TaskPrompterHead
from mlore_mm.models.features import Features
from mlore_mm.models.layers import AffinityDecoder
from mlore_mm.models.output import MultiTaskOutput


class LiteralTaskPrompterViT(nn.Module):
    """A :class:`TaskPrompterViT` computed literally."""

    call_mode = 'owner'

    def __init__(self, vit: TaskPrompterViT) -> None:
        super().__init__()
        self.vit = vit

    def forward(self, x: Tensor, tasks: Sequence[str] | None = None) -> Features:
        vit = self.vit
        x = vit.patch_embed(x).flatten(2).transpose(1, 2) + vit.pos_embed
        prompts = vit.prompts.repeat(len(x), 1, 1)
        levels, spatial, channel = [], [], []
        for i, layer in enumerate(vit.layers):
            x, prompts, scores, products = block(layer, x, prompts)
            if i in vit.out_indices:
                patches = vit.ln1(x) if i == len(vit.layers) - 1 else x
                levels.append(patches.transpose(1, 2).unflatten(2, vit.grid))
                spatial.append(scores[:, :, : prompts.shape[1]])
                channel.append(products)
        return Features(shared=tuple(levels), extras=dict(spatial_affinity=spatial, channel_affinity=channel))


def block(layer: PromptedLayer, x: Tensor, prompts: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Patches (B, P, C), prompts (B, T, C), raw scores (B, H, T+P, T+P), affinities (B, T, C, u, u) after a block."""
    attention, t = layer.attn['attn'], prompts.shape[1]
    normed_x, normed_prompts = layer.ln1(x), layer.ln1(prompts)
    joint = torch.cat([normed_prompts, normed_x], dim=1)
    qkv = F.linear(joint, attention.in_proj_weight, attention.in_proj_bias)
    q, k, v = qkv.unflatten(-1, (3, attention.heads, -1)).permute(2, 0, 3, 1, 4)
    scores = q @ k.transpose(-2, -1)
    y = ((scores * q.shape[-1] ** -0.5).softmax(dim=-1) @ v).transpose(1, 2).flatten(2)
    y = attention.out_proj(y)
    maps = layer.to_pixels(normed_prompts)
    products = window_products(maps, normed_x, layer.grid, layer.windows)
    x = x + y[:, t:]
    x = x + layer.ffn(layer.ln2(x))
    extra = layer.from_pixels(maps) if layer.from_pixels is not None else 0
    prompts = prompts + y[:, :t] + extra
    prompts = prompts + layer.ffn(layer.ln2(prompts))
    return x, prompts, scores, products


def window_products(maps: Tensor, patches: Tensor, grid: Sequence[int], u: int) -> Tensor:
    """Maps (B, T, P) of prompts times patches (B, P, C), summed over u * u windows: (B, T, C, u, u)."""
    h, w = grid[0] // u, grid[1] // u
    maps = maps.unflatten(2, tuple(grid))
    patches = patches.transpose(1, 2).unflatten(2, tuple(grid))
    rows = []
    for a in range(u):
        columns = []
        for b in range(u):
            window = (..., slice(a * h, (a + 1) * h), slice(b * w, (b + 1) * w))
            columns.append(torch.einsum('bthw,bchw->btc', maps[window], patches[window]))
        rows.append(torch.stack(columns, dim=-1))
    return torch.stack(rows, dim=-2)


class LiteralTaskPrompterHead(nn.Module):
    """A :class:`TaskPrompterHead` computed literally."""

    def __init__(self, head: TaskPrompterHead) -> None:
        super().__init__()
        self.head = head

    def forward(self, feats: Features, tasks: Sequence[str] | None = None) -> MultiTaskOutput:
        head = self.head
        wanted, names = head.active_tasks(tasks), list(head.tasks.names)
        sums = {}
        extras = feats.extras['spatial_affinity'], feats.extras['channel_affinity']
        for decoder, x, spatial, channel in zip(head.levels, feats.shared, *extras, strict=True):
            features = {task: task_features(decoder, x, spatial, channel, i) for i, task in enumerate(names)}
            for i, task in enumerate(names):
                total = features[task]
                if decoder.reweight is not None:
                    weights = decoder.reweight[task](spatial[:, :, i, : len(names), None])[:, 0, :, 0]
                    total = sum(weights[:, u, None, None, None] * features[other] for u, other in enumerate(names))
                sums[task] = sums[task] + total if task in sums else total
        return MultiTaskOutput(logits={task: head_output(head.heads[task], sums[task]) for task in wanted})


def task_features(decoder: AffinityDecoder, x: Tensor, spatial: Tensor, channel: Tensor, index: int) -> Tensor:
    """Features of one task from one level, before tasks exchange theirs."""
    task, (b, c, h, w) = decoder.tasks[index], x.shape
    scores = spatial[:, :, index, len(decoder.tasks) :].reshape(b, decoder.heads, h, w)
    by_pixel = x + x * scores.repeat_interleave(c // decoder.heads, dim=1)
    u = channel.shape[-1]
    spread = channel[:, index].repeat_interleave(h // u, dim=-2).repeat_interleave(w // u, dim=-1)
    by_channel = x + x * spread
    both = [decoder.spatial[task](by_pixel), decoder.channel[task](by_channel)]
    return decoder.fuse[task](torch.cat(both, dim=1))
