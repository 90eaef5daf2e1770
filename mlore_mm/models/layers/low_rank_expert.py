"""Low-rank convolution experts: one alone, and a bank of many that is computed as one wide convolution."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from mlore_mm.models.layers.pad_bank import PadExpertReduce


def _check_rank(name: str, rank: int, embed_dims: int) -> None:
    if not 0 < rank <= embed_dims:
        raise ValueError(
            f'{name} needs 0 < rank <= embed_dims, but got rank={rank} and embed_dims={embed_dims}. '
            'Check `ranks` and `task_rank` of the decode head.'
        )


class LowRankExpert(BaseModule):
    """A 3x3 convolution factorised through ``rank`` channels, (B, C, H, W) to (B, C, H, W).

    There is no activation inside: experts are affine, so a gated sum of them folds into one convolution.
    Source: MLoRE (Yang et al., CVPR 2024), Sec. 3.

    Args:
        embed_dims: C.
        rank: Channels of the bottleneck, C at most: a full-rank expert.

    Raises:
        ValueError: The rank is above the width, or not positive.
    """

    reads_weights_of = ('reduce', 'expand')

    def __init__(self, embed_dims: int, rank: int) -> None:
        super().__init__()
        _check_rank('LowRankExpert', rank, embed_dims)
        self.reduce = nn.Conv2d(embed_dims, rank, 3, padding=1)
        self.expand = nn.Conv2d(rank, embed_dims, 1)

    def forward(self, x: Tensor, factor: Tensor | None = None) -> Tensor:
        """``factor`` (B) scales the output; it is applied in the bottleneck, where the map is small."""
        reduced = self.reduce(x)
        return self.expand(reduced) if factor is None else self.expand_scaled(reduced, factor)

    def expand_scaled(self, reduced: Tensor, factor: Tensor) -> Tensor:
        """The rest of :meth:`forward`: (B, rank, H, W) and a factor (B) to (B, C, H, W)."""
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
        ValueError: A rank is above the width or not positive, or there is no expert.
    """

    reads_weights_of = ('reduce',)

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

        All experts are computed and the gates put out the rest, so that no shape depends on the data.
        """
        return self.expand_gated(self.reduce(u), gates)

    def expand_gated(self, reduced: Tensor, gates: Tensor) -> Tensor:
        """The rest of :meth:`forward`: the bottlenecks (B, R, H, W) and gates (B, N) to (B, C, H, W)."""
        gates = gates.to(reduced.dtype)
        # Gates go into the matrix and not onto the map: C x R numbers per sample instead of R x H x W.
        expand = self.expand.to(reduced.dtype) * gates[:, None, self.owner]
        bias = gates @ self.expand_bias.to(reduced.dtype)
        return torch.baddbmm(bias[..., None], expand, reduced.flatten(2)).unflatten(2, reduced.shape[2:])

    def chosen_channels(self, gates: Tensor) -> Tensor:
        """Bottleneck channels (K) of the experts with a gate, from the gates (N) of one sample."""
        return gates.detach()[self.owner].nonzero()[:, 0]

    def expand_chosen(self, reduced: Tensor, gates: Tensor, channels: Tensor) -> Tensor:
        """The rest of :meth:`forward` for one sample, whose chosen channels (K, H, W) have been convolved without bias.

        Gates are (N), the result is (C, H, W).
        """
        gates = gates.to(reduced.dtype)
        expand = self.expand[:, channels].to(reduced.dtype) * gates[self.owner[channels]]
        bias = expand @ self.reduce.bias[channels].to(reduced.dtype) + gates @ self.expand_bias.to(reduced.dtype)
        return torch.addmm(bias[:, None], expand, reduced.flatten(1)).unflatten(1, reduced.shape[1:])

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

    def share_weights(self, **options) -> None:
        """Make the 3x3 factors partially dynamic, see :class:`PadExpertReduce`, whose options these are."""
        self.reduce = PadExpertReduce(self.reduce, self.ranks, **options).to(self.expand)

    def _split(self, tensor: Tensor, dim: int) -> tuple[Tensor, ...]:
        return tensor.split(self.ranks, dim=dim)

    def _reset(self) -> None:
        """Each expert as if it were two convolutions of its own: kaiming_uniform(a=sqrt(5)), biases 0."""
        partial = isinstance(self.reduce, PadExpertReduce)
        if not (partial and self.reduce.is_compact):
            weight = self.reduce.kernels if partial else self.reduce.weight
            nn.init.kaiming_uniform_(weight, a=math.sqrt(5))  # the fan-in is C x 9 for every expert
        if partial and not self.reduce.is_compact:
            self.reduce.settle()
        nn.init.zeros_(self.reduce.bias)
        nn.init.zeros_(self.expand_bias)
        with torch.no_grad():
            for columns in self._split(self.expand, 1):
                nn.init.kaiming_uniform_(columns, a=math.sqrt(5))

    def init_weights(self) -> None:
        super().init_weights()
        self._reset()
