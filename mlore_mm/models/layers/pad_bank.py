"""The shared experts of MLoRE with most of their 3x3 factors in common."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mlore_mm.models.layers.partial_weight import PartialWeight


class PadExpertReduce(PartialWeight):
    """The 3x3 convolutions to the bottlenecks of N low-rank experts, side by side, partially dynamic.

    Experts have different ranks, so mask and static weight are of the largest one, and an expert of rank r takes their
    first r rows. What is dynamic here is the choice of the experts; the gates and expanding matrices stay as they are.
    Ours, after He et al. (ACL 2023).

    Args:
        reduce: The convolution that this one stands in for, D to sum(ranks).
        ranks: Rank of each expert.
        scale: See :class:`PartialWeight`.
        static_init: See :class:`PartialWeight`.
    """

    def __init__(
        self, reduce: nn.Conv2d, ranks: Sequence[int], scale: str = 'both', static_init: str = 'independent'
    ) -> None:
        super().__init__()
        self.ranks = tuple(ranks)
        self.kernels = nn.Parameter(reduce.weight.detach().clone())
        self.bias = nn.Parameter(reduce.bias.detach().clone())
        rows = torch.cat([torch.arange(rank, device=reduce.weight.device) for rank in self.ranks])
        self.register_buffer('rows', rows, persistent=False)  # (R) place of a bottleneck channel in its expert
        self._add_partial(scale, static_init)

    @property
    def weight(self) -> Tensor:
        """The kernels that are used, (R, D, 3, 3)."""
        return self.combine()

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight.to(x.dtype), self.bias.to(x.dtype), padding=1)

    @property
    def count(self) -> int:
        return len(self.ranks)

    def one_shape(self) -> torch.Size:
        if self.is_compact:
            return self._compact_shape
        return torch.Size((max(self.ranks), *self.kernels.shape[1:]))

    def stack_mean(self, x: Tensor) -> Tensor:
        sums = x.new_zeros(self.one_shape()).index_add(0, self.rows, x)
        return sums / torch.bincount(self.rows)[:, None, None, None]

    def combine(self, shares: None = None) -> Tensor:
        if self.is_compact:
            return torch.cat([self.dynamic_values, self.static_values])[self.order].unflatten(0, self._whole_shape())
        by_input, fixed = self.factors()
        mask, static = self.mask[self.rows], self.static[self.rows]
        return mask * (by_input * self.kernels) + (1 - mask) * (fixed * static)

    def stored_numbers(self) -> dict[str, int]:
        kernel = self.one_shape()[1:].numel()
        dynamic = self._used(self.dynamic_index if self.is_compact else self.mask.flatten().nonzero()[:, 0])
        one = self.one_shape().numel()
        return dict(
            fully_dynamic=sum(self.ranks) * kernel,
            training=(sum(self.ranks) + max(self.ranks)) * kernel,
            compact=int(dynamic.sum()) + one - round(self.kappa * one),
        )

    def _whole_shape(self) -> torch.Size:
        return torch.Size((sum(self.ranks), *self.one_shape()[1:]))

    def _used(self, index: Tensor) -> Tensor:
        """Which entries of all the kernels are dynamic, (R, ...) bool, from those of the mask."""
        mask = torch.zeros(self.one_shape().numel(), dtype=torch.bool, device=index.device)
        mask[index] = True
        return mask.view(self.one_shape())[self.rows]

    def _dynamic_of(self, index: Tensor) -> Tensor:
        return self.kernels[self._used(index)]

    def _dynamic_size(self, index: Tensor) -> tuple[int, ...]:
        return (int(self._used(index).sum()),)

    def _order_of(self, index: Tensor) -> Tensor:
        """For each entry of the kernels its place among the dynamic ones followed by the static ones of one."""
        used, entries = self._used(index), torch.arange(self.one_shape().numel(), device=index.device)
        static = torch.ones_like(entries, dtype=torch.bool)
        static[index] = False
        place = (static.cumsum(0) - 1 + used.sum()).view(self.one_shape())[self.rows]
        return torch.where(used, used.flatten().cumsum(0).view_as(used) - 1, place).flatten()

    def _adopt(self, state_dict: dict, prefix: str) -> None:
        weight = state_dict.pop(f'{prefix}weight', None)
        if weight is None:
            return
        state_dict[f'{prefix}kernels'] = weight
        state_dict[f'{prefix}static'] = self.stack_mean(weight.to(self.rows.device))
        self._fill_in(state_dict, prefix, weight)
