"""The MLoRE decoder as its equations read, without any rearrangement.

One task after the other, one expert after the other, every expert's output kept, gates zeroed sample by sample, the
map upsampled before it is convolved. It is slow and needs much memory, which is its use: the reference that the fast
decoder is tested against, and the baseline that its speed is measured against. Of the package it takes the definition
of the mixture (:class:`LowRankMixture`) and the parameters, so gradients can be compared as they are.
"""

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mlore_mm.models.decode_heads import MLoREDecodeHead
from mlore_mm.models.features import Features
from mlore_mm.models.layers import LowRankMixture, MLoREBlock, TaskRouter
from mlore_mm.models.output import MultiTaskOutput
from mlore_mm.routing import record_routing


class LiteralMLoREHead(nn.Module):
    """A :class:`MLoREDecodeHead` computed literally; takes its place in a model.

    Covers the plain ViT, whose levels share one grid and are the same for every task.
    """

    def __init__(self, head: MLoREDecodeHead) -> None:
        super().__init__()
        self.head = head

    def required_tasks(self, tasks: Sequence[str]) -> list[str]:
        return list(tasks)

    def forward(self, feats: Features | Sequence[Tensor], tasks: Sequence[str] | None = None) -> MultiTaskOutput:
        head, tasks = self.head, list(self.head.tasks) if tasks is None else list(tasks)
        stages = []
        for feature, project, blocks in zip(Features.wrap(feats).shared, head.project, head.stages, strict=True):
            shared = project(feature)
            maps = dict.fromkeys(tasks, shared)
            for block in blocks:
                maps = block_output(block, maps)
            stages.append(maps)
        logits = {}
        for task in tasks:
            fused = fuse_stages(head.fusion, [maps[task] for maps in stages], task)
            logits[task] = head_output(head.heads[task], fused)
        return MultiTaskOutput(logits=logits)


def block_output(block: MLoREBlock, maps: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """One MoE block, (B, D, h, w) by task to the same."""
    out = {}
    for task, x in maps.items():
        u = block.conv_in[task](x)
        gates, probabilities, m = route(block.router, u, task)
        record_routing(block.name, task, probabilities, gates)
        y = LowRankMixture(block.parts).of_task(u, gates, m, task)
        out[task] = block.conv_out[task](F.gelu(y))
    return out


def route(router: TaskRouter, u: Tensor, task: str) -> tuple[Tensor, Tensor, Tensor]:
    """Gates (B, N), probabilities (B, N) and the factor m (B) of one task, from u (B, D, h, w)."""
    a = router.channel_in[task](u).permute(0, 2, 3, 1)
    a = F.gelu(router.channel_norm[task](a)).permute(0, 3, 1, 2)
    a = router.channel_out[task](a).mean(dim=(2, 3))
    b = router.pixel_weight[task](u.flatten(2))[..., 0]
    b = F.gelu(router.pixel_norm[task](b))
    b = router.pixel_out[task](b[:, :, None, None])[..., 0, 0]
    z = torch.cat([a, b], dim=1)
    n = router.num_experts
    rho, sigma, m = router.logits[task](z[:, :, None, None])[..., 0, 0].split([n, n, 1], dim=1)
    if router.training and router.gate.noise == 'learned':
        rho = rho + torch.randn_like(rho) * sigma
    return *select(rho, router.gate.top_k, router.gate.pre_softmax), m[:, 0]


def select(rho: Tensor, top_k: int, pre_softmax: bool) -> tuple[Tensor, Tensor]:
    """Gates and probabilities (B, N); the N - k smallest of each sample are found and put out one sample at a time."""
    probabilities = rho.softmax(dim=1)
    scores = (rho if pre_softmax else probabilities).clone()
    for i, order in enumerate(scores.detach().argsort(dim=1)):
        scores[i, order[: len(order) - top_k]] = -1e10 if pre_softmax else 0.0
    return (scores.softmax(dim=1) if pre_softmax else scores), probabilities


def fuse_stages(fusion: nn.Module, stages: Sequence[Tensor], task: str) -> Tensor:
    """The stages of one task (B, D, h, w) under their per-pixel softmax."""
    x = fusion.squeeze[task](torch.cat(list(stages), dim=1))
    masks = fusion.score[task](F.gelu(fusion.norm[task](x))).softmax(dim=1)
    total = 0
    for i, stage in enumerate(stages):
        total = total + masks[:, i : i + 1] * stage
    return total


def head_output(head: nn.Module, x: Tensor) -> Tensor:
    """Logits (B, C, scale*h, scale*w): upsample, convolve, normalise, predict."""
    x = F.interpolate(x, scale_factor=head.conv.scale, mode='bilinear', align_corners=False)
    x = F.conv2d(x, head.conv.weight, head.conv.bias, padding=1)
    return head.predict(F.gelu(head.norm(x)))
