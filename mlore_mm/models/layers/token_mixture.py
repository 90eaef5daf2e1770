"""A mixture of small MLPs for tokens: what M3ViT, Mod-Squad and FGMoE have in place of a transformer's MLP."""

import math

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from mlore_mm.models.ops.dispatched_mlp import dispatched_mlp
from mlore_mm.models.ops.grouped_linear import grouped_linear
from mlore_mm.models.ops.token_dispatch import TokenDispatch
from mlore_mm.routing.top_k_gate import Routing


class ExpertLinear(BaseModule):
    """One linear layer per expert, as stacked tensors: experts can be pruned by ``index_select`` of the first axis.

    Args:
        num_experts: E.
        in_dims: Width of the input.
        out_dims: Width of the output.
        bias: Whether each expert has one.
    """

    def __init__(self, num_experts: int, in_dims: int, out_dims: int, bias: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(num_experts, out_dims, in_dims))
        self.bias = nn.Parameter(torch.zeros(num_experts, out_dims)) if bias else None
        self.reset(1 / math.sqrt(in_dims))

    @property
    def num_experts(self) -> int:
        return self.weight.shape[0]

    def reset(self, bound: float) -> None:
        """Weights uniform in +-bound, biases 0."""
        nn.init.uniform_(self.weight, -bound, bound)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def forward(self, rows: Tensor, dispatch: TokenDispatch) -> Tensor:
        """Rows (R*k, in) sorted by expert to (R*k, out), see :class:`TokenDispatch`."""
        out = grouped_linear(rows, self.matrices().to(rows.dtype), dispatch.ends)
        return out if self.bias is None else out + self.bias.to(rows.dtype).index_select(0, dispatch.experts)

    def keep_experts(self, ids: Tensor) -> None:
        """Go on with these experts only, in place; their numbers are then those of ``ids``."""
        self.weight = nn.Parameter(self.weight.detach().index_select(0, ids))
        if self.bias is not None:
            self.bias = nn.Parameter(self.bias.detach().index_select(0, ids))

    def expert(self, index: int, x: Tensor) -> Tensor:
        """Expert ``index`` alone, (..., in) to (..., out)."""
        return F.linear(x, self.matrices()[index], None if self.bias is None else self.bias[index])

    def matrices(self) -> Tensor:
        """The experts' matrices (E, out, in), which kinds that share weights have to put together first."""
        return self.weight

    def settle(self) -> None:
        """Whoever sets the weights anew says so here, for kinds that start other weights from them."""


class TokenMixture(BaseModule):
    """E experts ``W2 gelu(W1 u + b1) + b2``, of which each token uses those that its gates chose.

    ``y = sum_e g_e expert_e(u)``: the gate multiplies the whole output, bias included. There is no capacity limit and
    no token is dropped. :meth:`plain` is that sum over all experts; :meth:`forward` computes the chosen ones only.

    Args:
        embed_dims: d.
        hidden_dims: Hidden units of one expert.
        num_experts: E.
        top_k: Experts per token, to be checked; the gate decides.

    Raises:
        ValueError: More experts are to be chosen than there are.
    """

    def __init__(self, embed_dims: int, hidden_dims: int, num_experts: int, top_k: int = 1) -> None:
        super().__init__()
        if not 0 < top_k <= num_experts:
            raise ValueError(
                f'A mixture of {num_experts} experts cannot choose top_k={top_k} of them. Set `top_k` to at most '
                '`num_experts`.'
            )
        self.fc1 = ExpertLinear(num_experts, embed_dims, hidden_dims)
        self.fc2 = ExpertLinear(num_experts, hidden_dims, embed_dims)

    @property
    def num_experts(self) -> int:
        return self.fc1.num_experts

    def forward(self, u: Tensor, routing: Routing) -> Tensor:
        """Tokens (..., d) and their routing (..., E) to (..., d); under AMP the experts run in half precision.

        Leading axes of the tokens may be 1 where the routing's are not: tasks that share them.
        """
        if torch.compiler.is_exporting() or torch.jit.is_tracing():
            return self.plain(u, routing)  # files for other runtimes get ordinary operations only
        u, dtype = u.expand(*routing.gates.shape[:-1], -1), compute_dtype(u)
        experts = routing.experts.flatten(0, -2)
        x, scores = u.to(dtype).flatten(0, -2), routing.scores.to(dtype).flatten(0, -2)
        dispatch = TokenDispatch.to_experts(experts, self.num_experts)
        weights = (x.to(dtype) for x in (self.fc1.matrices(), self.fc1.bias, self.fc2.matrices()))
        y = dispatched_mlp(x, scores, dispatch, *weights)
        bias = routing.gates.to(dtype).flatten(0, -2) @ self.fc2.bias.to(dtype)
        return (y + bias).view_as(u)

    def plain(self, u: Tensor, routing: Routing) -> Tensor:
        """The definition: every expert on every token."""
        return sum(routing.gates[..., e : e + 1].to(u.dtype) * self.expert(e, u) for e in range(self.num_experts))

    def keep_experts(self, ids: Tensor) -> None:
        """See :meth:`ExpertLinear.keep_experts`."""
        self.fc1.keep_experts(ids)
        self.fc2.keep_experts(ids)

    def expert(self, index: int, u: Tensor) -> Tensor:
        """One expert alone, (..., d) to (..., d)."""
        return self.fc2.expert(index, F.gelu(self.fc1.expert(index, u)))


def compute_dtype(x: Tensor) -> torch.dtype:
    """The precision of matrix products with ``x``: autocast's, where it is on."""
    device = x.device.type
    if device != 'meta' and x.dtype is not torch.float64 and torch.is_autocast_enabled(device):
        return torch.get_autocast_dtype(device)
    return x.dtype
