"""Experts that share most of their weights: partially dynamic linear layers, and the mixture they were published as."""

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from mlore_mm.models.layers.partial_weight import PartialWeight
from mlore_mm.models.layers.token_mixture import ExpertLinear
from mlore_mm.models.ops.full_precision import without_autocast
from mlore_mm.models.ops.token_dispatch import TokenDispatch
from mlore_mm.routing.top_k_gate import TopKGate


class PadExpertLinear(PartialWeight, ExpertLinear):
    """One linear layer per expert, ``(M lambda_d W_e + (1 - M) lambda_s W_s) x + b_e``; see :class:`PartialWeight`.

    It stands in the place of an :class:`ExpertLinear` in any mixture; routers know nothing of it.

    Args:
        num_experts: E.
        in_dims: Width of the input.
        out_dims: Width of the output.
        bias: Whether each expert has one.
        scale: Which factors are learned, 'both', 'd', 's' or 'none'.
        static_init: 'independent' or 'mean'.
    """

    stack_name = 'weight'

    def __init__(
        self,
        num_experts: int,
        in_dims: int,
        out_dims: int,
        bias: bool = True,
        scale: str = 'both',
        static_init: str = 'independent',
    ) -> None:
        super().__init__(num_experts, in_dims, out_dims, bias)
        self._add_partial(scale, static_init)

    @classmethod
    def like(cls, linear: ExpertLinear, **options) -> 'PadExpertLinear':
        """One in the place of ordinary experts, with their weights."""
        experts, out_dims, in_dims = linear.weight.shape
        layer = cls(experts, in_dims, out_dims, linear.bias is not None, **options).to(linear.weight)
        with torch.no_grad():
            layer.weight.copy_(linear.weight)
            if linear.bias is not None:
                layer.bias.copy_(linear.bias)
        layer.settle()
        return layer

    @property
    def num_experts(self) -> int:
        return self.count

    def matrices(self) -> Tensor:
        return self.combine()

    def keep_experts(self, ids: Tensor) -> None:
        """See :meth:`ExpertLinear.keep_experts`; mask and static weight are those of all experts.

        Raises:
            ValueError: The layer is compact.
        """
        if self.is_compact:
            raise ValueError('Experts are cut out before a partially dynamic layer is made compact, not afterwards.')
        super().keep_experts(ids)

    def init_weights(self) -> None:
        super().init_weights()
        if not self.is_compact:
            self.settle()


class PadMoELinear(BaseModule):
    """A linear layer as a mixture of E partially dynamic experts with noisy top-k gates, as published.

    Tokens (..., D) to (..., O): ``sum_e g_e (W_e x + b_e)``. Logits ``x W_g``, in training with noise of deviation
    ``softplus(x W_n) + 0.01``; gates are the softmax over the k chosen. Decisions are recorded, so that
    ``ImportanceLoadLoss`` balances the experts.

    Source: He et al., ACL 2023. Differs: the router decides per token; some published ones do per sequence.

    Args:
        in_dims: D.
        out_dims: O.
        num_experts: E.
        top_k: k.
        scale: See :class:`PadExpertLinear`.
        static_init: See :class:`PadExpertLinear`.
        name: Of the layer in routing records.
    """

    def __init__(
        self,
        in_dims: int,
        out_dims: int,
        num_experts: int = 8,
        top_k: int = 2,
        scale: str = 'both',
        static_init: str = 'independent',
        name: str = 'pad_moe',
    ) -> None:
        super().__init__()
        if not 0 < top_k <= num_experts:
            raise ValueError(f'PadMoELinear cannot choose top_k={top_k} of num_experts={num_experts}.')
        self.name = name
        self.gate_weight = nn.Parameter(torch.zeros(in_dims, num_experts))
        self.noise_weight = nn.Parameter(torch.zeros(in_dims, num_experts))
        self.gate = TopKGate(top_k, pre_softmax=True, noise='softplus')
        self.experts = PadExpertLinear(num_experts, in_dims, out_dims, scale=scale, static_init=static_init)

    def forward(self, x: Tensor, task: str | None = None) -> Tensor:
        with without_autocast(x):
            tokens = x.to(self.gate_weight.dtype)
            noise = tokens @ self.noise_weight if self.training else None
            routing = self.gate(tokens @ self.gate_weight, noise)
        routing.record(self.name, task)
        dispatch = TokenDispatch.to_experts(routing.experts.flatten(0, -2), self.experts.num_experts)
        rows = self.experts(dispatch.send(x.flatten(0, -2)), dispatch)
        y = dispatch.add_up(rows * dispatch.scores(routing.scores.flatten(0, -2)).to(rows.dtype)[:, None])
        return y.unflatten(0, x.shape[:-1])

    def plain(self, x: Tensor) -> Tensor:
        """The definition in evaluation: every expert on every token."""
        gates = self.gate(x @ self.gate_weight).gates
        outputs = [F.linear(x, w, b) for w, b in zip(self.experts.matrices(), self.experts.bias, strict=True)]
        return sum(gates[..., e : e + 1] * out for e, out in enumerate(outputs))
