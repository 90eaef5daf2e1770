"""Tokens to their experts and back, by sorting them."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from mlore_mm.models.ops.grouped_linear import group_of_rows


class TokenDispatch(NamedTuple):
    """R tokens with k experts each as R*k rows, sorted by expert.

    Attributes:
        tokens: (R*k) the token of each row.
        places: (R, k) the row of each token's slot.
        ends: (E,) int32, after which row each expert's rows end.
    """

    tokens: Tensor
    places: Tensor
    ends: Tensor

    @classmethod
    def to_experts(cls, experts: Tensor, num_experts: int) -> 'TokenDispatch':
        """From the ids (R, k) of the chosen experts; the order among an expert's tokens is kept."""
        ids, order = experts.flatten().sort(stable=True)
        slots = torch.arange(len(order), device=order.device)
        places = torch.empty_like(order).scatter(0, order, slots)
        ends = torch.searchsorted(ids, torch.arange(num_experts, device=ids.device), right=True)
        return cls(order // experts.shape[1], places.view_as(experts), ends.to(torch.int32))

    @property
    def experts(self) -> Tensor:
        """(R*k) the expert of each row."""
        return group_of_rows(self.ends, len(self.tokens))

    def send(self, x: Tensor) -> Tensor:
        """Tokens (R, d) to rows (R*k, d)."""
        return x.index_select(0, self.tokens)

    def collect(self, rows: Tensor) -> Tensor:
        """Rows (R*k, d) to the slots (R, k, d) of the tokens."""
        return rows.index_select(0, self.places.flatten()).unflatten(0, self.places.shape)

    def add_up(self, rows: Tensor) -> Tensor:
        """The sum over its slots for each token, (R*k, d) to (R, d)."""
        return F.embedding_bag(self.places, rows, mode='sum')

    def scores(self, scores: Tensor) -> Tensor:
        """Numbers (R, k) of the slots, such as gates, to rows (R*k)."""
        return scores.flatten().new_empty(scores.numel()).scatter(0, self.places.flatten(), scores.flatten())
