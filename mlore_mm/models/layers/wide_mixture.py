"""The mixture of a MLoRE block as its parts side by side, the form of training.

Each function computes the 3x3 convolutions of u (T, B, D, h, w) and returns their maps, with a function that combines
them, per pixel, to the sum of the gated experts and to the sum of task expert and generic path, both (T, B, D, h, w).
What the second one makes is cheap to make again, so a block keeps only the maps for the backward pass. Gates are
(T, B, N), the task experts' factors m are (T, B).
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from mlore_mm.models.ops.winograd import Conv, convs3x3

if TYPE_CHECKING:
    from mlore_mm.models.layers.mlore_block import MLoREBlock

Maps = tuple[Tensor, ...]
Combine = Callable[..., tuple[Tensor, Tensor]]

# Multiplications per sample above which leaving out experts pays on a CPU.
CHOOSING_PAYS_FROM = 3e8


def all_experts(block: 'MLoREBlock', u: Tensor, gates: Tensor, m: Tensor, tasks: Sequence[str]) -> tuple[Maps, Combine]:
    """All samples of all tasks in one batch, and no shape that depends on the data."""
    batch = u.flatten(0, 1)
    reduced = block.experts.reduce(batch)
    generic = block.generic_conv(batch.detach() if block.detach_generic else batch)
    own = [block.task_expert[task].reduce(u[i]) for i, task in enumerate(tasks)]

    def combine(reduced: Tensor, generic: Tensor, *own: Tensor) -> tuple[Tensor, Tensor]:
        experts = block.experts.expand_gated(reduced, gates.flatten(0, 1)).unflatten(0, u.shape[:2])
        special = [block.task_expert[task].expand_scaled(own[i], m[i]) for i, task in enumerate(tasks)]
        return experts, torch.stack(special) + generic.unflatten(0, u.shape[:2])

    return (reduced, generic, *own), combine


def chosen_experts(
    block: 'MLoREBlock', u: Tensor, gates: Tensor, m: Tensor, tasks: Sequence[str]
) -> tuple[Maps, Combine]:
    """Only the experts with a gate, sample by sample, all convolutions of a sample together."""
    size, gates, m = u.shape[:2], gates.flatten(0, 1), m.flatten()
    special = [block.task_expert[task] for task in tasks]
    channels = [block.experts.chosen_channels(gate) for gate in gates]
    weights = [block.experts.reduce.weight, block.generic_conv.weight, *(expert.reduce.weight for expert in special)]
    convs = []
    for s in range(len(gates)):
        convs += [Conv(s, 0, channels[s]), Conv(s, 1, detached=block.detach_generic), Conv(s, 2 + s // size[1])]

    def combine(*maps: Tensor) -> tuple[Tensor, Tensor]:
        experts, rest = [], []
        for s, (chosen, generic, own) in enumerate(zip(maps[::3], maps[1::3], maps[2::3], strict=True)):
            expert = special[s // size[1]]
            experts.append(block.experts.expand_chosen(chosen, gates[s], channels[s]))
            own = own + expert.reduce.bias.to(own.dtype)[:, None, None]
            rest.append(expert.expand_scaled(own[None], m[s : s + 1])[0] + generic)
        rest = torch.stack(rest) + block.generic_conv.bias.to(rest[0].dtype)[:, None, None]
        return torch.stack(experts).unflatten(0, size), rest.unflatten(0, size)

    return convs3x3(u.flatten(0, 1), weights, convs), combine


def choosing_pays(u: Tensor, block: 'MLoREBlock') -> bool:
    """Whether leaving out experts gains more than single samples and copied weights cost: on a CPU, for large maps.

    On other devices the number of chosen channels would have to be known to the host, which is a synchronisation.
    """
    if u.device.type != 'cpu' or torch.compiler.is_compiling() or torch.jit.is_tracing():
        return False
    return block.experts.reduce.weight.numel() * u.shape[-2] * u.shape[-1] > CHOOSING_PAYS_FROM
