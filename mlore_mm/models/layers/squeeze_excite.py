"""Channels weighed by the whole map."""

from torch import Tensor, nn


class SqueezeExcite(nn.Module):
    """Every channel times ``sigmoid(Linear(ReLU(Linear(mean over pixels))))``: (B, C, H, W) to the same.

    Source: SE (Hu et al., CVPR 2018), as in MTI-Net (Vandenhende et al., ECCV 2020).

    Args:
        channels: C.
        reduction: The hidden layer has floor(C / reduction) units.

    Raises:
        ValueError: C is below the reduction, which leaves no hidden unit.
    """

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        if channels < reduction:
            raise ValueError(
                f'SqueezeExcite has floor(channels / reduction) hidden units, and none is left of channels={channels} '
                f'with reduction={reduction}. Use wider features, or a reduction of at most {channels}.'
            )
        self.squeeze = nn.Linear(channels, channels // reduction)
        self.excite = nn.Linear(channels // reduction, channels)

    def forward(self, x: Tensor) -> Tensor:
        weights = self.excite(self.squeeze(x.mean(dim=(2, 3))).relu()).sigmoid()
        return x * weights[..., None, None]
