"""Tasks hand each other features through gates."""

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from mlore_mm.models.ops.shared_input_convs import shared_input_convs3x3


class Distillation(nn.Module):
    """``F'_t = F_t + sum over a != t of sigmoid(Conv3x3(F_a)) * Conv3x3(F_a)``, convolutions for every pair (t, a).

    Convolutions that read the same F_a are computed together. A task without anyone to learn from keeps
    its features.
    Source: PAD-Net (Xu et al., CVPR 2018), its attention-guided message passing, on features as in MTI-Net
    (Vandenhende et al., ECCV 2020).
    Differs: one receiver that is the only giver is allowed, where the published code raises an error.

    Args:
        receivers: Names of the tasks t.
        givers: Names of the tasks a, in the order in which they are added; the receivers among them.
        channels: Width of the features.
        bias: Whether the convolutions have a bias; the published ones do not.
    """

    def __init__(self, receivers: Sequence[str], givers: Sequence[str], channels: int, bias: bool = False) -> None:
        super().__init__()
        self.receivers, self.givers = list(receivers), list(givers)
        self.gate, self.value = (
            nn.ModuleDict(
                {
                    t: nn.ModuleDict(
                        {a: nn.Conv2d(channels, channels, 3, padding=1, bias=bias) for a in givers if a != t}
                    )
                    for t in receivers
                }
            )
            for _ in range(2)
        )

    def forward(self, features: Mapping[str, Tensor], receivers: Sequence[str] | None = None) -> dict[str, Tensor]:
        """Features (B, C, H, W) of all givers to those of the receivers, or of the named ones among them."""
        receivers = self.receivers if receivers is None else receivers
        out = {t: features[t] for t in receivers}
        for a in self.givers:
            readers = [t for t in receivers if t != a]
            if readers:
                for t, message in zip(readers, self._messages(features[a], a, readers), strict=True):
                    out[t] = out[t] + message
        return out

    def _messages(self, x: Tensor, giver: str, readers: Sequence[str]) -> list[Tensor]:
        """What each reader gets of the giver's features ``x``."""
        maps = shared_input_convs3x3(x, [part[t][giver] for part in (self.gate, self.value) for t in readers])
        gates, values = maps[: len(readers)], maps[len(readers) :]
        return [gate.sigmoid() * value for gate, value in zip(gates, values, strict=True)]
