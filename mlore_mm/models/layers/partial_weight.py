"""Weights of which a share depends on the input: several dynamic ones, a static one, and a mask that tells them apart.

Source: PAD-Net, An Efficient Framework for Dynamic Networks (He et al., ACL 2023); PadDynamic here, to tell it from the
prediction-and-distillation network of the same name.
"""

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn

SCALES = ('both', 'd', 's', 'none')
STATIC_INITS = ('independent', 'mean')


class PartialWeight(BaseModule):
    """Base of partially dynamic layers: K weights ``W_k``, a static ``W_s``, and a mask M of the shape of one weight.

    The weight that is used is ``M lambda_d W + (1 - M) lambda_s W_s``, where W is what the layer makes of the ``W_k``
    (a weighted sum of them, or one of them), ``lambda_d = 2 sigmoid(phi)`` and ``lambda_s = 2 - lambda_d``. The mask is
    a buffer, all ones at first (fully dynamic); :mod:`mlore_mm.models.mode_partition` sets it.

    After :meth:`compact` only the entries that are used are kept: the dynamic ones of every ``W_k`` and the static
    ones, factors multiplied in. Such a layer gives the same outputs and is not partitioned again. A checkpoint of a
    compact layer makes the layer that loads it compact; one of the ordinary layer that this one stands in for (a single
    ``weight``, or stacked experts) becomes its dynamic and static weights.

    Attributes:
        stack_name: Name of the parameter (K, ...) that holds the ``W_k``.
        mask: (...), 1 where an entry is dynamic.
        static: (...), ``W_s``.
        phi: Scalar; None where ``scale`` is 'none'.
    """

    stack_name = 'kernels'

    def _add_partial(self, scale: str, static_init: str) -> None:
        """To be called by the constructor, once the stack is there."""
        if scale not in SCALES or static_init not in STATIC_INITS:
            raise ValueError(
                f'A partially dynamic layer knows scale {SCALES} and static_init {STATIC_INITS}, but got {scale!r} and '
                f'{static_init!r}.'
            )
        self.scale, self.static_init = scale, static_init
        shape = self.one_shape()
        self.static = nn.Parameter(self.stack.new_zeros(shape))
        self.register_buffer('mask', self.stack.new_ones(shape).detach())
        self.phi = None if scale == 'none' else nn.Parameter(self.stack.new_zeros(()))
        self.settle()

    @property
    def stack(self) -> nn.Parameter:
        """The K weights, (K, ...)."""
        return getattr(self, self.stack_name)

    def one_shape(self) -> torch.Size:
        """The shape of mask and static weight."""
        return self._compact_shape if self.is_compact else self.stack.shape[1:]

    def settle(self) -> None:
        """Start the static weight from the dynamic ones, whenever these have been set to new values.

        'mean' of them makes it nearly seamless to switch an entry off; 'independent' draws it with their deviation.
        """
        with torch.no_grad():
            if self.static_init == 'mean':
                self.static.copy_(self.stack_mean(self.stack.detach()))
            elif not self.stack.is_meta:
                self.static.normal_(std=self.deviation())

    def deviation(self) -> float:
        """Of the weights at the start."""
        return float(self.stack.square().mean().sqrt())

    def stack_mean(self, x: Tensor) -> Tensor:
        """The mean over the K weights of numbers that belong to them, (K, ...) to (...)."""
        return x.mean(dim=0)

    def factors(self) -> tuple[Tensor | float, Tensor | float]:
        """``lambda_d`` and ``lambda_s``."""
        if self.phi is None:
            return 1.0, 1.0
        dynamic = 2 * torch.sigmoid(self.phi)
        return (1.0 if self.scale == 's' else dynamic), (1.0 if self.scale == 'd' else 2 - dynamic)

    def combine(self, shares: Tensor | None = None) -> Tensor:
        """The weights that are used: (B, ...) for shares (B, K) of the K weights, or all of them, (K, ...)."""
        if self.is_compact:
            return self._fill(self.dynamic_values if shares is None else shares @ self.dynamic_values)
        dynamic = self.stack if shares is None else (shares @ self.stack.flatten(1)).unflatten(1, self.one_shape())
        by_input, fixed = self.factors()
        return self.mask * (by_input * dynamic) + (1 - self.mask) * (fixed * self.static)

    # ---- after the training ----------------------------------------------------------------------------------------
    @property
    def is_compact(self) -> bool:
        return 'dynamic_values' in self._parameters

    @property
    def kappa(self) -> float:
        """The share of dynamic entries."""
        dynamic = self.dynamic_index.numel() if self.is_compact else float(self.mask.sum())
        return dynamic / self.one_shape().numel()

    def stored_numbers(self) -> dict[str, int]:
        """Weights that are kept as 'fully_dynamic' (K P), in 'training' (K P + P) and 'compact'."""
        one = self.one_shape().numel()
        dynamic = round(self.kappa * one)
        return dict(
            fully_dynamic=self.count * one,
            training=(self.count + 1) * one,
            compact=self.count * dynamic + one - dynamic,
        )

    @property
    def count(self) -> int:
        """K."""
        return len(self.dynamic_values if self.is_compact else self.stack)

    def compact(self) -> None:
        """Keep the entries that are used only, in place; see the class."""
        if self.is_compact:
            return
        by_input, fixed = self.factors()
        index = self.mask.flatten().nonzero()[:, 0]
        with torch.no_grad():
            dynamic = by_input * self._dynamic_of(index)
            static = (fixed * self.static).flatten()[self.mask.flatten() == 0]
        self._become_compact(index, dynamic, static)

    def _become_compact(self, index: Tensor, dynamic: Tensor, static: Tensor) -> None:
        self._compact_shape = self.one_shape()  # before the names go
        for name in (self.stack_name, 'static', 'mask', 'phi'):
            delattr(self, name)
        self.register_buffer('dynamic_index', index)
        self.dynamic_values, self.static_values = nn.Parameter(dynamic.clone()), nn.Parameter(static.clone())
        self.register_buffer('order', self._order_of(index), persistent=False)

    def _dynamic_of(self, index: Tensor) -> Tensor:
        """The dynamic entries of every weight, (K, kappa P)."""
        return self.stack.flatten(1).index_select(1, index)

    def _dynamic_size(self, index: Tensor) -> tuple[int, ...]:
        return self.count, index.numel()

    def _order_of(self, index: Tensor) -> Tensor:
        """For each entry of a weight its place among the dynamic entries followed by the static ones, (P,)."""
        return _order_of(index, self.one_shape().numel())

    def _fill(self, values: Tensor) -> Tensor:
        """Dynamic entries (B, kappa P) to whole weights (B, ...)."""
        static = self.static_values.expand(len(values), -1)
        return torch.cat([values, static], dim=1).index_select(1, self.order).unflatten(1, self._compact_shape)

    # ---- checkpoints -----------------------------------------------------------------------------------------------
    def _load_from_state_dict(self, state_dict, prefix, *args) -> None:
        if f'{prefix}dynamic_values' in state_dict:
            self._take_shapes(state_dict, prefix)
        elif not self.is_compact and f'{prefix}static' not in state_dict:
            self._adopt(state_dict, prefix)
        super()._load_from_state_dict(state_dict, prefix, *args)
        if self.is_compact:
            self.order = self._order_of(self.dynamic_index)

    def _take_shapes(self, state_dict: dict, prefix: str) -> None:
        """Become compact, or take over the sizes of another partition."""
        index = state_dict[f'{prefix}dynamic_index']
        static = self.one_shape().numel() - index.numel()
        like = self.dynamic_values if self.is_compact else self.stack
        index = index.to(like.device)
        parts = (index, like.new_zeros(self._dynamic_size(index)), like.new_zeros(static))
        if not self.is_compact:
            self._become_compact(*(x.detach() for x in parts))
            return
        self.dynamic_index, self.dynamic_values.data, self.static_values.data = parts

    def _adopt(self, state_dict: dict, prefix: str) -> None:
        """Fill in what a checkpoint of the ordinary layer lacks; the layer then computes what that one did."""
        name = f'{prefix}weight'
        if name not in state_dict:
            return
        weight = state_dict[name]
        if weight.dim() == len(self.one_shape()):  # one for all
            state_dict[f'{prefix}static'] = weight
            state_dict[f'{prefix}{self.stack_name}'] = weight.expand(self.count, *weight.shape).clone()
            if self.stack_name != 'weight':
                del state_dict[name]
        else:
            state_dict[f'{prefix}static'] = weight.mean(dim=0)
        self._fill_in(state_dict, prefix, weight)

    def _fill_in(self, state_dict: dict, prefix: str, weight: Tensor) -> None:
        state_dict[f'{prefix}mask'] = torch.ones(self.one_shape(), dtype=weight.dtype)
        if self.phi is not None:
            state_dict[f'{prefix}phi'] = weight.new_zeros(())


def _order_of(index: Tensor, size: int) -> Tensor:
    """For each entry of a weight its place among the dynamic entries followed by the static ones, (P,)."""
    dynamic = torch.zeros(size, dtype=torch.bool, device=index.device)
    dynamic[index] = True
    places = torch.cat([index, (~dynamic).nonzero()[:, 0]])
    return torch.empty_like(places).scatter(0, places, torch.arange(size, device=index.device))
