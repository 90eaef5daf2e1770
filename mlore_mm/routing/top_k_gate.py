"""From router logits to gates: noise, selection, softmax. One class for the variants of the field."""

from typing import NamedTuple

import torch
from mmengine.model import BaseModule
from torch import Tensor


class Routing(NamedTuple):
    """Probabilities before and gates after selection, both (..., N); gates of experts not chosen are zero."""

    probabilities: Tensor
    gates: Tensor


class TopKGate(BaseModule):
    """Gates over N experts, of which ``top_k`` are chosen; per image or per token, whatever the leading axes are.

    Args:
        top_k: Experts kept.
        pre_softmax: Select on the logits, then softmax over the chosen (MLoRE on NYUD-v2, sparse MoE of Shazeer et al.,
            ICLR 2017); False applies the softmax first and then zeroes the rest (MLoRE on PASCAL-Context).
        renormalise: Make the gates sum to one where the softmax came first. Differs: the published MLoRE does not.
        noise: 'none'; 'learned', the deviation given with each call; or a float, a fixed deviation. In training only.
    """

    def __init__(
        self, top_k: int, pre_softmax: bool = False, renormalise: bool = False, noise: str | float = 'learned'
    ) -> None:
        super().__init__()
        if top_k < 1:
            raise ValueError(f'TopKGate needs top_k >= 1, but got {top_k}.')
        if isinstance(noise, str) and noise not in ('none', 'learned'):
            raise ValueError(f"noise is 'none', 'learned' or a number, but got {noise!r}.")
        self.top_k, self.pre_softmax, self.renormalise, self.noise = top_k, pre_softmax, renormalise, noise

    def forward(self, logits: Tensor, noise_std: Tensor | None = None) -> Routing:
        """Logits (..., N), and deviations (..., N) for learned noise, to :class:`Routing`."""
        logits = self._add_noise(logits, noise_std)
        probabilities = logits.softmax(dim=-1)
        chosen = self._chosen(logits)
        if self.pre_softmax:
            return Routing(probabilities, logits.masked_fill(~chosen, -1e10).softmax(dim=-1))
        gates = probabilities * chosen
        if self.renormalise:
            gates = gates / gates.sum(dim=-1, keepdim=True)
        return Routing(probabilities, gates)

    def _add_noise(self, logits: Tensor, noise_std: Tensor | None) -> Tensor:
        if not self.training or self.noise == 'none':
            return logits
        std = noise_std if self.noise == 'learned' else self.noise
        return logits + _standard_normal(logits) * std

    def _chosen(self, logits: Tensor) -> Tensor:
        if self.top_k >= logits.shape[-1]:
            return torch.ones_like(logits, dtype=torch.bool)
        best = logits.topk(self.top_k, dim=-1).indices
        return torch.zeros_like(logits, dtype=torch.bool).scatter(-1, best, 1)


def _standard_normal(like: Tensor) -> Tensor:
    """Numbers of N(0, 1) of shape (B, N), or (T, B, N) by one draw per task in order.

    The published MLoRE draws task by task, so the same state of the generator gives the same noise in both.
    """
    if like.dim() < 3:
        return torch.randn_like(like)
    return torch.stack([torch.randn(x.shape, dtype=x.dtype, device=x.device) for x in like])
