"""How deep in an encoder a parameter sits: for layer-wise learning rates, and for freezing the first stages."""

import re
from typing import NamedTuple

from torch import nn

# The first number after one of these words is a stage, the next one a block in it: layers.3, stages.1.blocks.0,
# layer2.1, stage3.0, layers.0.1.2. What stands between two of them belongs to the later one (HRNet's transitions).
_STAGE = re.compile(
    r'^(?:\w+\.)??(?:layers|blocks|stages|stage|layer|levels)\.?(\d+)(?:\.(?:blocks\.|layers\.)?(\d+))?'
)
_DOWNSAMPLING = re.compile(r'^downsample_layers\.([1-9]\d*)')  # of ConvNeXt: before the first block of its stage


class Depths(NamedTuple):
    """Attributes:
    of: Parameter name to 0 for the patch embedding or stem, k for the k-th of ``count`` parts, count + 1 behind.
    count: Number L of the parts.
    """

    of: dict[str, int]
    count: int


def block_depths(backbone: nn.Module) -> Depths:
    """Parts are the blocks of all stages. A backbone that knows better says so in a method ``block_depths()``."""
    own = getattr(backbone, 'block_depths', None)
    return own() if own is not None else _depths(backbone, stages=False)


def stage_depths(backbone: nn.Module) -> Depths:
    """Parts are stages; of a plain transformer, whose blocks are alike, every block."""
    own = getattr(backbone, 'stage_depths', None)
    return own() if own is not None else _depths(backbone, stages=True)


def freeze_stages(backbone: nn.Module, stages: int) -> list[nn.Module]:
    """Freeze the stem and the first ``stages`` stages: no gradient.

    Returns:
        The modules that are wholly frozen; hold them in evaluation mode, so that their statistics stay.

    Raises:
        ValueError: There are not so many stages.
    """
    depths = stage_depths(backbone)
    if not 0 <= stages <= depths.count:
        raise ValueError(
            f'frozen_stages={stages} of {type(backbone).__name__}: it has {depths.count} stages, so 0 (the stem alone) '
            f'to {depths.count} are possible.'
        )
    for name, parameter in backbone.named_parameters():
        if depths.of[name] <= stages:
            parameter.requires_grad_(False)
    return [
        module
        for module in backbone.modules()
        if (parameters := list(module.parameters())) and not any(p.requires_grad for p in parameters)
    ]


def _depths(backbone: nn.Module, stages: bool) -> Depths:
    names = [name for name, _ in backbone.named_parameters()]
    places = [_place(name, stages) for name in names]
    order = {place: k for k, place in enumerate(sorted(set(places) - {None}), start=1)}
    depths, begun = {}, False
    for i, (name, place) in enumerate(zip(names, places, strict=True)):
        begun |= place is not None
        later = next((p for p in places[i:] if p is not None), None)
        behind = len(order) + 1 if later is None else order[later]
        depths[name] = order[place] if place is not None else behind if begun else 0
    return Depths(depths, len(order))


def _place(name: str, stages: bool) -> tuple[int, ...] | None:
    """(stage,), or (stage, block), where what belongs to a stage as a whole goes with its first block."""
    found = _STAGE.search(name) or _DOWNSAMPLING.search(name)
    if found is None:
        return None
    numbers = [int(x or 0) for x in found.groups()]
    return (numbers[0],) if stages else (numbers[0], numbers[1] if len(numbers) > 1 else 0)
