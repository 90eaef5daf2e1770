"""The mixture of a MLoRE block with its 3x3 convolutions side by side: the forms of training."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from mlore_mm.models.layers.low_rank_mixture import MixtureParts
from mlore_mm.models.layers.task_router import BlockRouting
from mlore_mm.models.ops.winograd import Conv, convs3x3

Maps = tuple[Tensor, ...]
Combine = Callable[..., Tensor]

# Multiplications per sample above which leaving out experts pays on a CPU.
CHOOSING_PAYS_FROM = 3e8


class WideMixture:
    """:class:`LowRankMixture` with all experts of all tasks in one batch: no shape depends on the data.

    :meth:`split` cuts the computation after the 3x3 convolutions. What follows them works per pixel and is cheap to
    compute again, so that a block may keep only their maps for the backward pass.
    """

    def __init__(self, parts: MixtureParts) -> None:
        self.parts = parts

    def __call__(self, u: Tensor, routing: BlockRouting, tasks: Sequence[str]) -> Tensor:
        """u (T, B, D, h, w), gates (T, B, N) and factors m (T, B) to y (T, B, D, h, w)."""
        maps, combine = self.split(u, routing, tasks)
        return combine(*maps)

    def split(self, u: Tensor, routing: BlockRouting, tasks: Sequence[str]) -> tuple[Maps, Combine]:
        """The maps of the 3x3 convolutions, and the function that makes y of them."""
        parts, gates, m = self.parts, routing.gates.flatten(0, 1), routing.factor
        batch = u.flatten(0, 1)
        reduced = parts.experts.reduce(batch)
        generic = parts.generic_conv(batch.detach() if parts.detach_generic else batch)
        own = [parts.task_expert[task].reduce(u[i]) for i, task in enumerate(tasks)]

        def combine(reduced: Tensor, generic: Tensor, *own: Tensor) -> Tensor:
            experts = parts.experts.expand_gated(reduced, gates).unflatten(0, u.shape[:2])
            special = [parts.task_expert[task].expand_scaled(own[i], m[i]) for i, task in enumerate(tasks)]
            rest = torch.stack(special) + generic.unflatten(0, u.shape[:2])
            return _normalise(parts, experts, rest, tasks)

        return (reduced, generic, *own), combine


class ChosenMixture(WideMixture):
    """Only the experts with a gate, sample by sample, all convolutions of a sample together."""

    def split(self, u: Tensor, routing: BlockRouting, tasks: Sequence[str]) -> tuple[Maps, Combine]:
        parts, size = self.parts, u.shape[:2]
        gates, m = routing.gates.flatten(0, 1), routing.factor.flatten()
        own_experts = [parts.task_expert[task] for task in tasks]
        channels = [parts.experts.chosen_channels(gate) for gate in gates]
        weights = [
            parts.experts.reduce.weight,
            parts.generic_conv.weight,
            *(expert.reduce.weight for expert in own_experts),
        ]
        convs = []
        for s in range(len(gates)):
            convs += [Conv(s, 0, channels[s]), Conv(s, 1, detached=parts.detach_generic), Conv(s, 2 + s // size[1])]

        def combine(*maps: Tensor) -> Tensor:
            experts, rest = [], []
            for s, (chosen, generic, own) in enumerate(zip(maps[::3], maps[1::3], maps[2::3], strict=True)):
                expert = own_experts[s // size[1]]
                experts.append(parts.experts.expand_chosen(chosen, gates[s], channels[s]))
                own = own + expert.reduce.bias.to(own.dtype)[:, None, None]
                rest.append(expert.expand_scaled(own[None], m[s : s + 1])[0] + generic)
            rest = torch.stack(rest) + parts.generic_conv.bias.to(rest[0].dtype)[:, None, None]
            return _normalise(parts, torch.stack(experts).unflatten(0, size), rest.unflatten(0, size), tasks)

        return convs3x3(u.flatten(0, 1), weights, convs), combine


def choosing_pays(parts: MixtureParts, u: Tensor) -> bool:
    """Whether leaving out experts gains more than single samples and copied weights cost: on a CPU, for large maps.

    On other devices the number of chosen channels would have to be known to the host, which is a synchronisation.
    """
    if u.device.type != 'cpu' or torch.compiler.is_compiling() or torch.jit.is_tracing():
        return False
    return parts.experts.reduce.weight.numel() * u.shape[-2] * u.shape[-1] > CHOOSING_PAYS_FROM


def _normalise(parts: MixtureParts, experts: Tensor, rest: Tensor, tasks: Sequence[str]) -> Tensor:
    return parts.norm.each(tasks, parts.norm_experts.each(tasks, experts) + rest)
