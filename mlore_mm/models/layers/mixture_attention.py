"""Attention whose query heads are experts: each token chooses its own, and all share one key and one value head."""

import math

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from mlore_mm.models.layers.token_mixture import ExpertLinear, compute_dtype
from mlore_mm.models.ops.token_dispatch import TokenDispatch
from mlore_mm.routing.top_k_gate import Routing


class MixtureAttention(BaseModule):
    """``y_n = sum_e g_ne Wo_e attention(Wq_e u_n ; K, V)``, ``[K, V] = W_kv u + b_kv``.

    The routing decides on query and output alike. :meth:`plain` is that sum over all experts; :meth:`forward` computes
    the chosen ones only.
    Source: Mod-Squad (Chen et al., CVPR 2023).

    Args:
        embed_dims: d.
        head_dims: Width of a head.
        num_experts: E.
    """

    def __init__(self, embed_dims: int, head_dims: int, num_experts: int) -> None:
        super().__init__()
        self.query = ExpertLinear(num_experts, embed_dims, head_dims, bias=False)
        self.key_value = nn.Linear(embed_dims, 2 * head_dims)
        self.output = ExpertLinear(num_experts, head_dims, embed_dims, bias=False)

    @property
    def num_experts(self) -> int:
        return self.query.num_experts

    def forward(self, u: Tensor, routing: Routing) -> Tensor:
        """Tokens (..., L, d) and routing (..., L, E) to (..., L, d); tokens of the same leading index attend."""
        if torch.compiler.is_exporting() or torch.jit.is_tracing():
            return self.plain(u, routing)  # files for other runtimes get ordinary operations only
        dtype = compute_dtype(u)
        x, experts = u.to(dtype).flatten(0, -2), routing.experts.flatten(0, -2)
        dispatch = TokenDispatch.to_experts(experts, self.num_experts)
        queries = dispatch.collect(self.query(dispatch.send(x), dispatch))  # (R, k, head)
        queries = queries.unflatten(0, (-1, u.shape[-2])).transpose(1, 2)
        attended = self._attend(queries, u).transpose(1, 2).flatten(0, 1)
        slots = (attended * routing.scores.to(dtype).flatten(0, -2)[..., None]).flatten(0, 1)
        places = dispatch.places.flatten()
        order = torch.empty_like(places).scatter(0, places, torch.arange(len(places), device=places.device))
        return dispatch.add_up(self.output(slots.index_select(0, order), dispatch)).view_as(u)

    def plain(self, u: Tensor, routing: Routing) -> Tensor:
        """The definition: every expert on every token."""
        queries = torch.einsum('...ld,ehd->...elh', u, self.query.matrices().to(u.dtype))
        attended = self._attend(queries.flatten(0, -4), u).view_as(queries)
        gates = routing.gates.to(attended.dtype)
        return torch.einsum('...elh,edh,...le->...ld', attended, self.output.matrices().to(attended.dtype), gates)

    def keep_experts(self, ids: Tensor) -> None:
        """See :meth:`ExpertLinear.keep_experts`."""
        self.query.keep_experts(ids)
        self.output.keep_experts(ids)

    def _attend(self, queries: Tensor, u: Tensor) -> Tensor:
        """Queries (N, heads, L, head) and tokens (..., L, d), N entries of which, to (N, heads, L, head)."""
        keys, values = self.key_value(u).flatten(0, -3)[:, None].chunk(2, dim=-1)
        keys, values = (x.to(queries.dtype).expand(-1, queries.shape[1], -1, -1) for x in (keys, values))
        return F.scaled_dot_product_attention(queries, keys, values)


class WideAttention(nn.Module):
    """Ordinary self-attention (..., L, d) whose heads are wider than d / heads, with an inner width of its own.

    Args:
        embed_dims: d.
        heads: Heads.
        head_dims: Width of each.
    """

    def __init__(self, embed_dims: int, heads: int, head_dims: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(embed_dims, 3 * heads * head_dims)
        self.proj = nn.Linear(heads * head_dims, embed_dims)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x.flatten(0, -3)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)
        return self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)).view_as(x)


class ExpertUsage(nn.Module):
    """How often each task chose each expert, as a running sum: ``r <- decay r + (1 - decay) count``, in the checkpoint.

    Args:
        tasks: T, how many.
        num_experts: E.
        decay: Published: 0.95.
    """

    def __init__(self, tasks: int, num_experts: int, decay: float = 0.95) -> None:
        super().__init__()
        self.decay = decay
        self.register_buffer('count', torch.zeros(tasks, num_experts))

    @torch.no_grad()
    def update(self, experts: Tensor, tasks: list[int]) -> None:
        """One pass of these tasks: ids (T, ..., k) of the experts that their tokens chose."""
        for ids, task in zip(experts.flatten(1), tasks, strict=True):
            # Not bincount, which asks the device for the number of experts.
            counts = self.count.new_zeros(self.count.shape[1]).scatter_add(0, ids, self.count.new_ones(len(ids)))
            self.count[task] = self.decay * self.count[task] + (1 - self.decay) * counts

    def keep_experts(self, task: int, ids: Tensor) -> None:
        """The row of one task, and the columns of these experts."""
        self.count = self.count[task : task + 1].index_select(1, ids)


def reset_experts(linear: ExpertLinear) -> None:
    """Weights uniform within 1 / fan-in, biases within 1 / sqrt(out), as the published Mod-Squad starts."""
    out_dims, in_dims = linear.weight.shape[1:]
    linear.reset(1 / in_dims)
    if linear.bias is not None:
        nn.init.uniform_(linear.bias, -1 / math.sqrt(out_dims), 1 / math.sqrt(out_dims))
    linear.settle()
