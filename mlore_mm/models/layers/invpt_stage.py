"""One level of the inverted pyramid."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmcv.cnn.bricks import DropPath
from mmengine.model import BaseModule
from torch import Tensor, nn

from mlore_mm.models.layers.cross_task_attention import CrossTaskAttention
from mlore_mm.models.layers.task_modules import TaskModules
from mlore_mm.models.ops.upsampled_conv import UpsampledConv3x3


class EnlargingConvs(BaseModule):
    """Twice the size, then two times Conv3x3 with dilation 2, BN, ReLU: (B, C, h, w) to (B, C', 2h, 2w)."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv1 = UpsampledConv3x3(in_channels, out_channels, scale=2, dilation=2, bias=False)
        self.norm1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=2, dilation=2, bias=False)
        self.norm2 = nn.BatchNorm2d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.norm1(self.conv1(x)))
        return F.relu(self.norm2(self.conv2(x)))


class InvPTStage(BaseModule):
    """A transformer block over the tokens of all tasks; from the second stage on, the maps are enlarged before it.

    Source: InvPT (Ye and Xu, ECCV 2022). Tokens are (T, B, H, W, D), a layout that convolutions read as channels-last
    maps without a copy.

    Args:
        tasks: Names of the tasks.
        in_channels: Channels of the stage before; None for the first stage.
        embed_dims: D.
        num_heads: Heads of the attention.
        pool: Side of the windows that keys and values are means over.
        mlp_ratio: Width of the MLP over D.
        attn_scale: See :class:`CrossTaskAttention`.
        drop_path_rate: Stochastic depth; the published code configures 0.15 and arrives at 0.
    """

    def __init__(
        self,
        tasks: Sequence[str],
        in_channels: int | None,
        embed_dims: int,
        num_heads: int,
        pool: int,
        mlp_ratio: int = 4,
        attn_scale: str = 'width',
        drop_path_rate: float = 0.0,
    ) -> None:
        super().__init__()
        self.tasks, later = list(tasks), in_channels is not None
        self.enlarge = TaskModules(tasks, lambda: EnlargingConvs(in_channels, embed_dims)) if later else None
        self.norm1 = nn.LayerNorm(embed_dims)
        self.attn = CrossTaskAttention(tasks, embed_dims, num_heads, pool, later, attn_scale)
        self.norm2 = nn.LayerNorm(embed_dims)
        hidden = int(mlp_ratio * embed_dims)
        self.mlp = nn.Sequential(nn.Linear(embed_dims, hidden), nn.GELU(), nn.Linear(hidden, embed_dims))
        self.drop_path = DropPath(drop_path_rate)

    def forward(
        self, tokens: Tensor, skip: Tensor | None = None, message: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Tokens of the stage before, a map (B, D, H, W) for every task, scores of the stage before.

        Returns:
            Tokens (T, B, H, W, D), and the attention's scores before softmax.
        """
        if self.enlarge is not None:
            maps = tokens.permute(0, 1, 4, 2, 3)
            maps = [self.enlarge[task](maps[i]) + skip for i, task in enumerate(self.tasks)]
            tokens = torch.stack([x.permute(0, 2, 3, 1) for x in maps])
        update, scores = self.attn(self.norm1(tokens), message)
        tokens = tokens + self._drop_images(update)
        return tokens + self._drop_images(self.mlp(self.norm2(tokens))), scores

    def _drop_images(self, update: Tensor) -> Tensor:
        """Stochastic depth by image: for all tasks or for none."""
        return self.drop_path(update.transpose(0, 1)).transpose(0, 1)

    def init_weights(self) -> None:
        """Linear layers: truncated normal of std 0.02 and zero bias."""
        super().init_weights()
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)
