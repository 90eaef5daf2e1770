"""The last layers of one task."""

import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from mlore_mm.models.ops.recompute import recompute
from mlore_mm.models.ops.upsampled_conv import UpsampledConv3x3


class PredictionHead(BaseModule):
    """Upsample bilinearly, Conv3x3, BN, GELU, Conv1x1: (B, D, h, w) to logits (B, C, scale*h, scale*w).

    Source: MLoRE (Yang et al., CVPR 2024), the published code's ``MLPHead``.

    Args:
        embed_dims: D.
        out_channels: C of the task.
        scale: Factor of the upsampling; 4 for features of stride 16.
        with_cp: In training, compute the large maps twice and keep none of them.

    Raises:
        ValueError: A scale below 1.
    """

    def __init__(self, embed_dims: int, out_channels: int, scale: int = 4, with_cp: bool = True) -> None:
        super().__init__()
        if scale < 1:
            raise ValueError(f'scale={scale} of the decode head: maps are made 1 or more times as large.')
        self.with_cp = with_cp
        self.conv = UpsampledConv3x3(embed_dims, embed_dims, scale)
        self.norm = nn.BatchNorm2d(embed_dims)
        self.predict = nn.Conv2d(embed_dims, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        if self.with_cp and self.training:
            return recompute(self._predict, x, norms=(self.norm,))
        return self._predict(x)

    def _predict(self, x: Tensor) -> Tensor:
        return self.predict(F.gelu(self.norm(self.conv(x))))

    def init_weights(self) -> None:
        super().init_weights()
        nn.init.trunc_normal_(self.conv.weight, std=0.02)
        nn.init.zeros_(self.conv.bias)
