"""What an encoder says about itself, so that nobody repeats it in a config."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from mlore_mm.models.encoding import encode

# Packages whose encoders return as many levels as they have `out_indices`.
SCOPES = ('mlore_mm', 'mmseg', 'mmpretrain', 'mmdet')


@dataclass(frozen=True)
class EncoderFacts:
    """Shapes of an encoder's features, and what it expects of images.

    Args:
        channels: Of each level.
        strides: Pixels of the image per pixel of each level.
        size_divisor: Sides of the image have to be multiples of it.
        mean: Per channel of the image that it was trained with, 0-255; None where it is not known.
        std: Likewise.
    """

    channels: tuple[int, ...]
    strides: tuple[int, ...]
    size_divisor: int | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None


def encoder_facts(backbone: nn.Module, tasks: Sequence[str], in_channels: int = 3, side: int = 64) -> EncoderFacts:
    """What the backbone says in its attribute ``facts``, or what one look at a small black image tells.

    Args:
        backbone: Any encoder.
        tasks: The model's tasks in order, for encoders that are called per task.
        in_channels: Channels of the image.
        side: Of the image, where it has to be looked at; a multiple of the strides.

    Raises:
        ValueError: The encoder has no ``facts`` and does not take the image.
    """
    facts = getattr(backbone, 'facts', None)
    if facts is not None:
        return facts
    training = backbone.training
    where = next(backbone.parameters(), torch.zeros(()))
    backbone.eval()
    try:
        # the state of the generator is read and set on the CPU, also while a model is built on the meta device
        with torch.device('cpu'), torch.random.fork_rng(devices=[]), torch.device(where.device), torch.no_grad():
            image = torch.zeros(1, in_channels, side, side, device=where.device, dtype=where.dtype)
            features = encode(backbone, image, list(tasks)[:1], tasks, folded=False)
    except Exception as error:
        raise ValueError(
            f'{type(backbone).__name__} has no `facts` and did not take an image of {side}x{side} ({error}), so its '
            'channels and strides are not known: give `in_channels` of the decode head in the config.'
        ) from error
    finally:
        backbone.train(training)
    levels = features.tensors()
    return EncoderFacts(
        channels=tuple(level.shape[1] for level in levels),
        strides=tuple(round(side / level.shape[-1]) for level in levels),
    )


def known_levels(backbone: nn.Module) -> int | None:
    """How many levels an encoder returns, as far as it says so without being run; None where it does not."""
    facts: EncoderFacts | None = getattr(backbone, 'facts', None)
    if facts is not None:
        return len(facts.channels)
    channels = getattr(backbone, 'level_channels', None)
    given = None if channels is None else len(channels)
    if given is None and type(backbone).__module__.split('.')[0] in SCOPES and hasattr(backbone, 'out_indices'):
        return len(backbone.out_indices)
    return given


def check_levels(backbone: nn.Module, head: nn.Module) -> None:
    """The levels that a head takes are there, where the encoder says what it has.

    Raises:
        ValueError: One is not, or has another number of channels.
    """
    index, levels = getattr(head, 'in_index', None), known_levels(backbone)
    if not index or levels is None:
        return
    if max(index) >= levels or min(index) < 0:
        raise ValueError(
            f'decode_head.in_index={list(index)}, but {type(backbone).__name__} returns {levels} levels: 0 to '
            f'{levels - 1}. Set in_index and in_channels of the decode head, or out_indices of the backbone.'
        )
    facts: EncoderFacts | None = getattr(backbone, 'facts', None)
    channels = facts.channels if facts else getattr(backbone, 'level_channels', None)
    found = list(head.in_channels) if channels is None else [channels[i] for i in index]
    if found != list(head.in_channels):
        raise ValueError(
            f'decode_head.in_channels={list(head.in_channels)}, but {type(backbone).__name__} returns {found} channels '
            f'at in_index={list(index)}. Set decode_head.in_channels to the latter, or leave it out.'
        )


def block_indices(given: Sequence[int], blocks: int, name: str) -> list[int]:
    """``out_indices`` counted from the first block; negative ones count from the end.

    Raises:
        ValueError: There is no such block, or they do not ascend, which is the order in which levels come.
    """
    indices = [i + blocks if i < 0 else i for i in given]
    if not indices or any(not 0 <= i < blocks for i in indices) or sorted(set(indices)) != indices:
        raise ValueError(
            f'out_indices={list(given)} of {name}: expected ascending numbers of its blocks, 0 to {blocks - 1}, or '
            f'{-blocks} to -1 from the end.'
        )
    return indices


def fill_preprocessor(config: dict, backbone: nn.Module) -> dict:
    """A data preprocessor's config with mean, std and size divisor of the encoder where it gives none itself.

    Only encoders with ``facts`` are asked: others were trained with what their configs say.
    """
    facts: EncoderFacts | None = getattr(backbone, 'facts', None)
    said = {} if facts is None else dict(mean=facts.mean, std=facts.std, size_divisor=facts.size_divisor)
    return {**{key: value for key, value in said.items() if value is not None}, **config}


def fill_head(config: dict, accepted: Sequence[str], facts) -> dict:
    """A decode head's config with ``in_channels`` and ``strides`` of the encoder where it takes and does not give them.

    Args:
        config: Of the head.
        accepted: Names of the arguments that the head takes.
        facts: A function that returns the :class:`EncoderFacts`; called only if they are needed.
    """
    config = dict(config)
    missing = [key for key in ('in_channels', 'strides') if key in accepted and key not in config]
    given = config.get('in_channels')
    if given is not None and (config.get('grid') is not None or 'strides' not in missing):
        return config  # nothing that the encoder would be needed for
    if missing:
        known: EncoderFacts = facts()
        index = config.get('in_index')
        index = range(len(known.channels) if given is None else len(given)) if index is None else index
        if max(index) >= len(known.channels):
            if given is not None:
                return config  # the head says itself what does not fit
            raise ValueError(
                f'decode_head.in_index={list(index)} asks for more levels than the encoder has: '
                f'{len(known.channels)} with {list(known.channels)} channels at strides {list(known.strides)}.'
            )
        values = dict(
            in_channels=[known.channels[i] for i in index],
            strides=[known.strides[i] for i in index],
        )
        config.update({key: values[key] for key in missing})
    return config
