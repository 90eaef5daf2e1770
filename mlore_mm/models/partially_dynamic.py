"""Which layers of a model are partially dynamic: put in by rules of the config, listed, and made compact."""

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

from torch import nn

from mlore_mm.models.layers import ExpertLinear, LowRankExpertBank, PadConv2d, PadExpertLinear, PartialWeight
from mlore_mm.models.layers.pad_bank import PadExpertReduce

# What can be replaced, and by what; of MLoRE's shared experts the 3x3 factors are. Kinds that derive from these do not
# count, and neither do layers that their owner names in `reads_weights_of`: it does more with them than call them.
REPLACEMENTS: dict[type, type] = {nn.Conv2d: PadConv2d, ExpertLinear: PadExpertLinear}


def apply_rules(model: nn.Module, rules: Sequence[Mapping]) -> list[str]:
    """Replace layers in place; returns the names of those that were.

    Args:
        model: Any model.
        rules: Each a dict with ``modules``, a pattern of names or a list of them (``*`` stands for anything, dots
            included), and options of :class:`PadConv2d`, :class:`PadExpertLinear` or, for the shared experts of MLoRE,
            :class:`PadExpertReduce`, whichever the layer is replaced by. Where two rules match a layer, the first
            counts.

    Raises:
        ValueError: A rule matches no layer that can be replaced.
    """
    done: list[str] = []
    for rule in rules:
        options = dict(rule)
        patterns = options.pop('modules', None)
        patterns = [patterns] if isinstance(patterns, str) else patterns
        if not patterns:
            raise ValueError(f"A rule of `partially_dynamic` names its `modules`, such as 'decode_head.*', not {rule}.")
        candidates = _candidates(model)
        chosen = [name for name in candidates if any(fnmatchcase(name, pattern) for pattern in patterns)]
        if not chosen and not any(fnmatchcase(name, pattern) for name in done for pattern in patterns):
            raise ValueError(
                f'The rule modules={patterns} of `partially_dynamic` matches no convolution and no experts. There are '
                f'{", ".join(list(candidates)[:20]) or "none"}{", ..." if len(candidates) > 20 else ""}.'
            )
        for name in chosen:
            _replace(model, name, options)
        done += chosen
    return done


def _candidates(model: nn.Module) -> list[str]:
    """Names of the layers that can be replaced, but for those whose owner reads their weights."""
    taken = {
        f'{name}.{part}'.lstrip('.')
        for name, owner in model.named_modules()
        for part in getattr(owner, 'reads_weights_of', ())
    }
    return [
        name
        for name, layer in model.named_modules()
        if name not in taken
        and (type(layer) in REPLACEMENTS or (_is_bank(layer) and not isinstance(layer.reduce, PadExpertReduce)))
    ]


def _is_bank(layer: nn.Module) -> bool:
    return isinstance(layer, LowRankExpertBank)


def _replace(model: nn.Module, name: str, options: dict) -> None:
    parent, _, own = name.rpartition('.')
    owner, layer = model.get_submodule(parent), model.get_submodule(name)
    kind = PadExpertReduce if _is_bank(layer) else REPLACEMENTS[type(layer)]
    try:
        if _is_bank(layer):
            layer.share_weights(**options)
        else:
            setattr(owner, own, kind.like(layer, **options))
    except TypeError as error:
        raise ValueError(
            f'{name} becomes a {kind.__name__}, which does not take the options {options}: {error}'
        ) from error


def partial_layers(model: nn.Module) -> dict[str, PartialWeight]:
    """The partially dynamic layers of a model by name."""
    return {name: layer for name, layer in model.named_modules() if isinstance(layer, PartialWeight)}


def compact_layers(model: nn.Module) -> dict[str, PartialWeight]:
    """Make every partially dynamic layer compact, in place; returns them."""
    layers = partial_layers(model)
    for layer in layers.values():
        layer.compact()
    return layers


def describe(layers: Mapping[str, PartialWeight]) -> str:
    """A table: the share of dynamic entries of each layer, and the weights stored."""
    rows = ['layer | K | kappa | weights, fully dynamic | training | compact']
    total: dict[str, int] = {}
    for name, layer in layers.items():
        stored = layer.stored_numbers()
        total = {key: total.get(key, 0) + number for key, number in stored.items()}
        numbers = ' | '.join(f'{number:,}' for number in stored.values())
        rows.append(f'{name} | {layer.count} | {layer.kappa:.3f} | {numbers}')
    rows.append(f'together | | | {" | ".join(f"{number:,}" for number in total.values())}')
    return '\n'.join(rows)
