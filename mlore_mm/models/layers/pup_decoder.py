"""Progressive upsampling: the decoder of one task behind a plain ViT."""

import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn


class PUPDecoder(BaseModule):
    """Norm, four 3x3 convolutions with a doubling after each of the first three, logits, and a last doubling.

    Source: SETR-PUP (Zheng et al., CVPR 2021), as in M3ViT (Liang et al., NeurIPS 2022).

    Args:
        in_channels: Of the encoder's map.
        embed_dims: c, width of the convolutions; published: 256.
        out_channels: Of the logits.
    """

    def __init__(self, in_channels: int, embed_dims: int, out_channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(in_channels, eps=1e-6)
        widths = [in_channels, embed_dims, embed_dims, embed_dims]
        self.convs = nn.ModuleList(nn.Conv2d(width, embed_dims, 3, padding=1) for width in widths)
        self.norms = nn.ModuleList(nn.BatchNorm2d(embed_dims) for _ in widths)
        self.predict = nn.Conv2d(embed_dims, out_channels, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """(B, C, h, w) to logits (B, C_t, 16h, 16w), and the features (B, c, ...) at 1, 2, 4 and 8 times h x w."""
        x = self.norm(x.movedim(1, -1)).movedim(-1, 1)
        features = []
        for i, (conv, norm) in enumerate(zip(self.convs, self.norms, strict=True)):
            x = norm(conv(double(x) if i else x)).relu()
            features.append(x)
        return double(self.predict(x)), features


def double(x: Tensor) -> Tensor:
    """Twice the size, bilinearly."""
    return F.interpolate(x, scale_factor=2, mode='bilinear', align_corners=False)
