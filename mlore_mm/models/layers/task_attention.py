"""M3ViT's task attention module: during training, tasks help each other through one shared mask."""

from collections.abc import Mapping

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn


class TaskAttention(BaseModule):
    """Features of all tasks at one level of their decoders to an extra prediction per task, for training only.

    1. ``B = sigmoid(BN conv(relu BN conv(F)))`` of the concatenated features F;
    2. the first half of the tasks (rounded down) is weighted by B over their number, the rest by 1 - B over theirs;
    3. a small encoder-decoder of these, two halvings and two doublings, ends in a sigmoid: the mask M;
    4. every task predicts from all features times 1 + M.

    Gradients reach all decoders and the encoder. The order of the tasks is part of the weights.
    Source: M3ViT (Liang et al., NeurIPS 2022). Differs: any number of tasks; the published code knows 2 to 5.

    Args:
        out_channels: Channels of the logits by task, in the order in which tasks are joined.
        embed_dims: c, width of the decoders.
    """

    def __init__(self, out_channels: Mapping[str, int], embed_dims: int) -> None:
        super().__init__()
        self.order = list(out_channels)
        c, joined = embed_dims, embed_dims * len(self.order)
        self.balance_in, self.balance_out = _conv_norm(joined, c), _conv_norm(c, c)
        self.gather = _conv_norm(joined, c)
        self.down = nn.ModuleList(_conv_norm(c, c, stride=2) for _ in range(2))
        self.up = nn.ModuleList(
            nn.Sequential(nn.ConvTranspose2d(c, c, 3, 2, padding=1, output_padding=1), nn.BatchNorm2d(c))
            for _ in range(2)
        )
        self.features = nn.ModuleDict({task: _conv_norm(joined, c) for task in self.order})
        self.predict = nn.ModuleDict({task: nn.Conv2d(c, out, 1) for task, out in out_channels.items()})

    def forward(self, features: Mapping[str, Tensor], tasks: list[str]) -> dict[str, Tensor]:
        """Features (B, c, H, W) of all tasks, H and W multiples of 4, to logits (B, C_t, H, W) of the named ones.

        Raises:
            ValueError: Another size.
        """
        maps = [features[task] for task in self.order]
        height, width = maps[0].shape[-2:]
        if height % 4 or width % 4:
            raise ValueError(
                f'Task attention halves its maps twice, but got {height} x {width}. At level 0 that needs an even '
                'number of patches in both directions: choose a crop_size that is a multiple of 32, or leave level 0 '
                'out of `tam_levels`.'
            )
        balance = self.balance_out(self.balance_in(torch.cat(maps, dim=1)).relu()).sigmoid()
        half = len(maps) // 2
        weighted = [x * balance / half for x in maps[:half]]
        weighted += [x * (1 - balance) / (len(maps) - half) for x in maps[half:]]
        z = self.gather(torch.cat(weighted, dim=1)).relu()
        for layer in (*self.down, self.up[0]):
            z = layer(z).relu()
        mask = self.up[1](z).sigmoid()
        joined = torch.cat([x * (1 + mask) for x in maps], dim=1)
        return {task: self.predict[task](self.features[task](joined).relu()) for task in self.order if task in tasks}


def _conv_norm(in_channels: int, out_channels: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(in_channels, out_channels, 3, stride, padding=1), nn.BatchNorm2d(out_channels))
