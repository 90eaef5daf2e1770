"""Task features from shared patches and what a task's prompt thinks of them."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from mlore_mm.models.layers.task_modules import TaskModules


class AffinityDecoder(BaseModule):
    """One level of TaskPrompter's decoder: patches (B, C, h, w) and affinities to features (B, F, h, w) of each task.

    The patches are weighted twice: at every pixel by the prompt's attention scores, head by head, and in every channel
    by the prompt's affinity to it. Each version passes a Conv1x1; both together pass Conv1x1, Conv3x3, BN, GELU,
    Conv1x1. With ``cross_task`` a task's features then are a sum of those of all tasks, with weights from the scores
    between prompts. Source: TaskPrompter (Ye and Xu, ICLR 2023).

    Args:
        tasks: Names of all tasks, in the order of the affinities.
        in_channels: C.
        embed_dims: Channels of either version.
        out_channels: F.
        num_heads: Heads of the encoder's attention.
        cross_task: Re-weight across tasks.
    """

    def __init__(
        self,
        tasks: Sequence[str],
        in_channels: int,
        embed_dims: int,
        out_channels: int,
        num_heads: int,
        cross_task: bool,
    ) -> None:
        super().__init__()
        if in_channels % num_heads:
            raise ValueError(f'{in_channels} channels cannot be shared by num_heads={num_heads}.')
        self.tasks, self.heads = list(tasks), num_heads
        self.spatial = TaskModules(tasks, lambda: nn.Conv2d(in_channels, embed_dims, 1))
        self.channel = TaskModules(tasks, lambda: nn.Conv2d(in_channels, embed_dims, 1))
        self.fuse = TaskModules(
            tasks,
            lambda: nn.Sequential(
                nn.Conv2d(2 * embed_dims, out_channels, 1),
                nn.Conv2d(out_channels, out_channels, 3, padding=1),
                nn.BatchNorm2d(out_channels),
                nn.GELU(),
                nn.Conv2d(out_channels, out_channels, 1),
            ),
        )
        make = lambda: nn.Sequential(nn.Conv2d(num_heads, num_heads, 1), nn.GELU(), nn.Conv2d(num_heads, 1, 1))  # noqa: E731
        self.reweight = TaskModules(tasks, make) if cross_task else None

    def forward(self, x: Tensor, spatial: Tensor, channel: Tensor, tasks: Sequence[str]) -> dict[str, Tensor]:
        """Features of the named tasks.

        Args:
            x: Patches (B, C, h, w).
            spatial: Scores (B, H, T, T + h*w) of all prompts over prompts and patches.
            channel: Affinities (B, T, C, u, u) of all prompts to channels, by window.
            tasks: Names.
        """
        count = len(self.tasks)
        if self.reweight is None:
            return {task: self.features(x, spatial, channel, task) for task in tasks}
        features = torch.stack([self.features(x, spatial, channel, task) for task in self.tasks])
        weights = {task: self.weights(spatial[:, :, self.tasks.index(task), :count], task) for task in tasks}
        return {task: torch.einsum('bt,tbchw->bchw', weights[task], features) for task in tasks}

    def features(self, x: Tensor, spatial: Tensor, channel: Tensor, task: str) -> Tensor:
        """Features of one task before tasks exchange theirs."""
        index, size = self.tasks.index(task), x.shape[-2:]
        scores = spatial[:, :, index, len(self.tasks) :].unflatten(-1, size)
        by_pixel = (x.unflatten(1, (self.heads, -1)) * (1 + scores)[:, :, None]).flatten(1, 2)
        # Windows tile the map, so every pixel takes the value of the window it lies in.
        by_channel = x * (1 + F.interpolate(channel[:, index], size=size, mode='nearest'))
        both = [self.spatial[task](by_pixel), self.channel[task](by_channel)]
        return self.fuse[task](torch.cat(both, dim=1))

    def weights(self, scores: Tensor, task: str) -> Tensor:
        """Scores (B, H, T) of a prompt over all prompts to weights (B, T) of any sign, not normalised."""
        return self.reweight[task](scores[..., None])[:, 0, :, 0]
