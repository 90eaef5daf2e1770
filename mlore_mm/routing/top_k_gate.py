"""From router logits to gates: noise, selection, softmax. One class for the variants of the field."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor

from mlore_mm.routing.records import record_routing

NOISES = ('none', 'learned', 'softplus')


class Routing(NamedTuple):
    """What a gate decided for tensors (..., N) of N experts.

    Attributes:
        probabilities: (..., N) before selection.
        gates: (..., N) after selection, zero for experts that were not chosen.
        experts: (..., k) ids of the chosen experts, the best first: where a token has to be sent.
        scores: (..., k) their gates.
        logits: (..., N) before noise.
        noise_std: Deviation of the noise, a number or (..., N); None where none was added.
        noisy_logits: (..., N) what the experts were chosen by; None where no noise was added.
    """

    probabilities: Tensor
    gates: Tensor
    experts: Tensor
    scores: Tensor
    logits: Tensor
    noise_std: Tensor | float | None = None
    noisy_logits: Tensor | None = None

    def record(self, layer: str, task: str | None = None) -> None:
        """Write it to the open trace, see :func:`record_routing`."""
        record_routing(
            layer,
            task,
            self.probabilities,
            self.gates,
            self.logits,
            self.noise_std,
            self.noisy_logits,
            self.experts,
        )

    def of(self, index: int) -> 'Routing':
        """One entry of the leading axis."""
        return Routing(*(x[index] if isinstance(x, Tensor) and x.dim() else x for x in self))

    def without(self, expert: int) -> 'Routing':
        """The same with one expert's gate at zero; the others do not fill the gap."""
        keep = torch.arange(self.gates.shape[-1], device=self.gates.device) != expert
        return self._replace(gates=self.gates * keep, scores=self.scores * (self.experts != expert))


class TopKGate(BaseModule):
    """Gates over N experts, of which ``top_k`` are chosen; per image or per token, whatever the leading axes are.

    Args:
        top_k: Experts kept; all of them where there are fewer.
        pre_softmax: Select on the logits, then softmax over the chosen (MLoRE on NYUD-v2, sparse MoE of Shazeer et al.,
            ICLR 2017); False applies the softmax first and then zeroes the rest (MLoRE on PASCAL-Context, M3ViT,
            Mod-Squad).
        renormalise: Make the gates sum to one where the softmax came first. Differs: the published MLoRE does not.
        noise: 'none'; 'learned', the deviation given with each call (MLoRE); 'softplus', what is given with each call
            becomes the deviation by softplus, plus ``noise_floor`` (Shazeer et al.); or a float, a fixed deviation. In
            training only.
        noise_per_expert: Divide the deviation by N (V-MoE, Riquelme et al., NeurIPS 2021, and M3ViT, with sigma / E).
        noise_floor: Smallest deviation of 'softplus'.
        noise_in_eval: Add the noise in evaluation as well, as the published Mod-Squad does.
        prob_eps: Added to each probability, so that they sum to 1 + N * prob_eps; 1e-4 in the published Mod-Squad.
    """

    def __init__(
        self,
        top_k: int,
        pre_softmax: bool = False,
        renormalise: bool = False,
        noise: str | float = 'learned',
        noise_per_expert: bool = False,
        noise_floor: float = 1e-2,
        noise_in_eval: bool = False,
        prob_eps: float = 0.0,
    ) -> None:
        super().__init__()
        if top_k < 1:
            raise ValueError(f'TopKGate needs top_k >= 1, but got {top_k}.')
        if isinstance(noise, str) and noise not in NOISES:
            raise ValueError(f"noise is 'none', 'learned', 'softplus' or a number, but got {noise!r}.")
        self.top_k, self.pre_softmax, self.renormalise, self.noise = top_k, pre_softmax, renormalise, noise
        self.noise_per_expert, self.noise_floor, self.noise_in_eval = noise_per_expert, noise_floor, noise_in_eval
        self.prob_eps = prob_eps

    def forward(self, logits: Tensor, noise_std: Tensor | None = None) -> Routing:
        """Logits (..., N) to a :class:`Routing`; noise 'learned' and 'softplus' need where its deviation comes from."""
        std = self._deviation(logits, noise_std)
        noisy = None if std is None else logits + self.draw(logits) * std
        chosen_by = logits if noisy is None else noisy
        probabilities = chosen_by.softmax(dim=-1)
        if self.prob_eps:
            probabilities = probabilities + self.prob_eps
        experts = chosen_by.topk(min(self.top_k, logits.shape[-1]), dim=-1).indices
        gates = self._gates(chosen_by, probabilities, experts)
        return Routing(probabilities, gates, experts, gates.gather(-1, experts), logits, std, noisy)

    def _deviation(self, logits: Tensor, given: Tensor | None) -> Tensor | float | None:
        if self.noise == 'none' or self.noise == 0 or not (self.training or self.noise_in_eval):
            return None
        if isinstance(self.noise, str) and given is None:
            raise ValueError(f"A gate with noise='{self.noise}' was called without the deviations.")
        std = self.noise
        if self.noise == 'learned':
            std = given
        elif self.noise == 'softplus':
            std = F.softplus(given) + self.noise_floor
        return std / logits.shape[-1] if self.noise_per_expert else std

    def _gates(self, chosen_by: Tensor, probabilities: Tensor, experts: Tensor) -> Tensor:
        chosen = torch.zeros_like(chosen_by, dtype=torch.bool).scatter(-1, experts, 1)
        if self.pre_softmax:
            return chosen_by.masked_fill(~chosen, -1e10).softmax(dim=-1)
        gates = probabilities * chosen
        return gates / gates.sum(dim=-1, keepdim=True) if self.renormalise else gates

    def draw(self, like: Tensor) -> Tensor:
        """Numbers of N(0, 1) of shape (B, N), or of (T, B, N) by one draw per task in order.

        The published MLoRE draws task by task, so the same state of the generator gives the same noise in both.
        """
        if like.dim() < 3:
            return torch.randn_like(like)
        return torch.stack([torch.randn(x.shape, dtype=x.dtype, device=x.device) for x in like])
