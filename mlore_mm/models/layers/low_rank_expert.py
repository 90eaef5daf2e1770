"""Low-rank convolution experts: one alone, and a bank of many that is computed as one wide convolution."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

# Multiplications per sample above which leaving out experts gains more than single samples and copied weights cost.
CHOOSING_PAYS_FROM = 3e8


def _check_rank(name: str, rank: int, embed_dims: int) -> None:
    if not 0 < rank < embed_dims:
        raise ValueError(
            f'{name} needs 0 < rank < embed_dims, but got rank={rank} and embed_dims={embed_dims}. '
            'Check `ranks` and `task_rank` of the decode head.'
        )


class LowRankExpert(BaseModule):
    """A 3x3 convolution factorised through ``rank`` channels, (B, C, H, W) to (B, C, H, W).

    There is no activation inside: experts are affine, so a gated sum of them folds into one convolution.
    Source: MLoRE (Yang et al., CVPR 2024), Sec. 3.

    Args:
        embed_dims: C.
        rank: Channels of the bottleneck, below C.

    Raises:
        ValueError: The rank is not below the width.
    """

    def __init__(self, embed_dims: int, rank: int) -> None:
        super().__init__()
        _check_rank('LowRankExpert', rank, embed_dims)
        self.reduce = nn.Conv2d(embed_dims, rank, 3, padding=1)
        self.expand = nn.Conv2d(rank, embed_dims, 1)

    def forward(self, x: Tensor, factor: Tensor | None = None) -> Tensor:
        """``factor`` (B) scales the output; it is applied in the bottleneck, where the map is small."""
        reduced = self.reduce(x)
        if factor is None:
            return self.expand(reduced)
        factor = factor.to(reduced.dtype)
        out = F.conv2d(reduced * factor[:, None, None, None], self.expand.weight)
        return out + (factor[:, None] * self.expand.bias.to(reduced.dtype))[..., None, None]

    def init_weights(self) -> None:
        super().init_weights()
        for conv in (self.reduce, self.expand):
            nn.init.kaiming_uniform_(conv.weight, a=math.sqrt(5))
            nn.init.zeros_(conv.bias)

    def merged(self) -> tuple[Tensor, Tensor]:
        """The one convolution it equals: kernel (C, C, 3, 3) and bias (C)."""
        expand = self.expand.weight.flatten(1)
        return (
            (expand @ self.reduce.weight.flatten(1)).view(-1, *self.reduce.weight.shape[1:]),
            expand @ self.reduce.bias + self.expand.bias,
        )


class LowRankExpertBank(BaseModule):
    """N low-rank experts whose gated sum is wanted, never their single outputs.

    The experts' bottlenecks lie side by side along one axis of R = sum(ranks) channels: one 3x3 convolution to R
    channels, gates multiplied into the columns of the expanding matrix, one matrix product back. Nothing of size N x C
    x H x W exists. Being stacked tensors, experts can be pruned or extracted by ``index_select``.

    Args:
        embed_dims: C.
        ranks: Rank of each expert, in any order.

    Raises:
        ValueError: A rank is not below the width, or there is no expert.
    """

    def __init__(self, embed_dims: int, ranks: Sequence[int]) -> None:
        super().__init__()
        if not ranks:
            raise ValueError('LowRankExpertBank needs at least one expert, but `ranks` is empty.')
        for rank in ranks:
            _check_rank('LowRankExpertBank', rank, embed_dims)
        self.ranks = tuple(ranks)
        self.reduce = nn.Conv2d(embed_dims, sum(ranks), 3, padding=1)
        self.expand = nn.Parameter(torch.empty(embed_dims, sum(ranks)))
        self.expand_bias = nn.Parameter(torch.empty(len(ranks), embed_dims))
        owner = torch.repeat_interleave(torch.arange(len(ranks)), torch.tensor(self.ranks), output_size=sum(ranks))
        self.register_buffer('owner', owner, persistent=False)  # (R,) expert of each bottleneck channel
        self._reset()

    def forward(self, u: Tensor, gates: Tensor) -> Tensor:
        """Sum over experts of gate times expert: u (B, C, H, W), gates (B, N), to (B, C, H, W).

        On the CPU only the chosen experts' channels are computed, sample by sample, unless the maps are small. On other
        devices their number would have to be known to the host, which is a synchronisation, so all are computed and the
        gates zero the rest.
        """
        if self._choosing_pays(u):
            return torch.stack([self._chosen_only(u[i : i + 1], gates[i]) for i in range(len(u))])
        return self.all_experts(u, gates)

    def _choosing_pays(self, u: Tensor) -> bool:
        if u.device.type != 'cpu' or torch.compiler.is_compiling() or torch.jit.is_tracing():
            return False
        return self.reduce.weight.numel() * u.shape[-2] * u.shape[-1] > CHOOSING_PAYS_FROM

    def _chosen_only(self, u: Tensor, gates: Tensor) -> Tensor:
        """One sample: u (1, C, H, W), gates (N), to (C, H, W)."""
        gates = gates.to(u.dtype)
        channels = gates.detach()[self.owner].nonzero()[:, 0]
        reduced = F.conv2d(u, self.reduce.weight[channels], self.reduce.bias[channels], padding=1)[0]
        expand = self.expand[:, channels] * gates[self.owner[channels]]
        bias = gates @ self.expand_bias
        return torch.addmm(bias[:, None], expand, reduced.flatten(1)).view(u.shape[1:])

    def all_experts(self, u: Tensor, gates: Tensor) -> Tensor:
        """The same with every expert computed, without any shape that depends on the data."""
        reduced = self.reduce(u)
        gates = gates.to(reduced.dtype)
        # Gates go into the matrix and not onto the map: C x R numbers per sample instead of R x H x W.
        expand = self.expand.to(reduced.dtype) * gates[:, None, self.owner]
        bias = gates @ self.expand_bias.to(reduced.dtype)
        return torch.baddbmm(bias[..., None], expand, reduced.flatten(2)).unflatten(2, u.shape[2:])

    def kernels(self) -> tuple[Tensor, Tensor]:
        """Every expert as a full convolution: kernels (N, C, C*9) and biases (N, C)."""
        expand, weights = self._split(self.expand, 1), self._split(self.reduce.weight, 0)
        kernels = [m @ w.flatten(1) for m, w in zip(expand, weights, strict=True)]
        biases = [m @ b for m, b in zip(expand, self._split(self.reduce.bias, 0), strict=True)]
        return torch.stack(kernels), torch.stack(biases) + self.expand_bias

    def expert(self, index: int, u: Tensor) -> Tensor:
        """Expert ``index`` alone, (B, C, H, W) to (B, C, H, W); for analysis, the forward pass never needs it."""
        weight, bias = self._split(self.reduce.weight, 0)[index], self._split(self.reduce.bias, 0)[index]
        expand = self._split(self.expand, 1)[index]
        return F.conv2d(F.conv2d(u, weight, bias, padding=1), expand[..., None, None], self.expand_bias[index])

    def _split(self, tensor: Tensor, dim: int) -> tuple[Tensor, ...]:
        return tensor.split(self.ranks, dim=dim)

    def _reset(self) -> None:
        """Each expert as if it were two convolutions of its own: kaiming_uniform(a=sqrt(5)), biases 0."""
        nn.init.kaiming_uniform_(self.reduce.weight, a=math.sqrt(5))  # the fan-in is C x 9 for every expert
        nn.init.zeros_(self.reduce.bias)
        nn.init.zeros_(self.expand_bias)
        with torch.no_grad():
            for columns in self._split(self.expand, 1):
                nn.init.kaiming_uniform_(columns, a=math.sqrt(5))

    def init_weights(self) -> None:
        super().init_weights()
        self._reset()
