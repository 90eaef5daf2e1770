"""Putting the weights of a file into a model: every one, or a message that says which not."""

import logging
import re
from collections.abc import Iterable, Mapping

import torch
from mmengine.logging import print_log
from torch import Tensor, nn

from mlore_mm.utils.unwrap import bare_model, bare_name

TRAINING_ONLY = ('criterion.', 'data_preprocessor.', 'gradient_surgery.')  # weights that a test can do without
_COUNTER = 'num_batches_tracked'  # of batch norms; what decides nothing
_MISFIT = re.compile(r'size mismatch for ([^\s:]+):')


def fill_model(model: nn.Module, weights: Mapping[str, Tensor], source: str, optional: Iterable[str] | None) -> None:
    """Put weights as :func:`read_checkpoint` returns them into a model.

    Args:
        model: In wrappers or not.
        source: Name of the file, for messages.
        optional: Beginnings of names that may be missing, such as those of parts that only training uses; () for none.
            None at the start of a training: what fits is taken, the rest is named in a warning.

    Raises:
        ValueError: A weight is of another kind than the model's, not finite, or cannot be copied; weights are missing
            or of another shape where they may not; or none fits at all.
    """
    model = bare_model(model)
    own = model.state_dict()
    check_values(own, weights, source)
    unused = None
    try:
        missing, unused = model.load_state_dict(weights, strict=False)
        own, misfits = model.state_dict(), []  # anew: a layer may take the form that the checkpoint has it in
    except RuntimeError as error:  # the rest is copied by then
        misfits = _MISFIT.findall(str(error))
        if not misfits or 'While copying' in str(error):
            raise ValueError(f'The weights of {source} cannot be copied into this model. {error}') from error
        missing = [name for name in own if name not in weights]
    _say_what_is_left(own, weights, source, [*missing, *misfits], optional, unused)


def check_precision(own: Mapping[str, Tensor], weights: Mapping[str, Tensor], source: str) -> None:
    """See that a training goes on from what it saved, and not from weights that were rounded since.

    Raises:
        ValueError: Naming a weight with fewer bits than the model's.
    """
    for name, value in weights.items():
        ours = own.get(name)
        if ours is not None and ours.is_floating_point() and value.element_size() < ours.element_size():
            raise ValueError(
                f"{source} has weight '{name}' rounded to {value.dtype}, the model's is {ours.dtype}: a training "
                'cannot go on from it as if nothing had happened. Start from it by load_from, without --resume.'
            )


def check_values(own: Mapping[str, Tensor], weights: Mapping[str, Tensor], source: str) -> None:
    """See that numbers are finite, and of the kind of the model's ``own``: floating, whole, or yes and no.

    Raises:
        ValueError: Naming the weight.
    """
    for name, value in weights.items():
        ours = own.get(name)
        if ours is not None and _kind(value) != _kind(ours):
            raise ValueError(
                f"{source} has weight '{name}' as {_kind(value)} ({value.dtype}), the model's is {_kind(ours)} "
                f'({ours.dtype}). Its values were lost when they were converted; take the file from before that.'
            )
        if value.is_floating_point() and value.element_size() < 2:
            raise ValueError(
                f"{source} has weight '{name}' as {value.dtype}, which is no form to keep weights in. Take the file "
                'from before it was compressed.'
            )
        if not value.is_floating_point() or (ours is not None and ours.numel() and not _finite(ours)):
            continue
        if not _finite(value if ours is None else value.to(ours.dtype)):
            count = int((~torch.isfinite(value)).sum())
            raise ValueError(
                f"{source} has weight '{name}' with {count or 'some'} of {value.numel()} values that are not finite "
                f'(NaN, infinite, or too large for {(value if ours is None else ours).dtype}). Take an earlier one.'
            )


def require_all_weights(model: nn.Module | Mapping, checkpoint: dict, source: str, optional: Iterable[str]) -> None:
    """Raise a ValueError unless every weight of the model, or of its weights by name, is there in its shape.

    For sharded models (FSDP); :func:`fill_model` does this for others.
    """
    own = bare_model(model).state_dict() if isinstance(model, nn.Module) else model
    weights = {bare_name(key): value for key, value in checkpoint['state_dict'].items()}
    misfits = [name for name, x in own.items() if name not in weights or weights[name].shape != x.shape]
    _say_what_is_left(own, weights, source, misfits, optional)


def check_averages(checkpoint: dict, source: str) -> None:
    """See that a second set of weights, mmengine's moving average, is as complete as the first.

    Raises:
        ValueError: Names or shapes differ.
    """
    averages = checkpoint.get('ema_state_dict')
    if averages is None:
        return
    if not isinstance(averages, dict) or not all(isinstance(x, Tensor) for x in averages.values()):
        raise ValueError(f"{source} has an 'ema_state_dict' that is not a dict of tensors.")
    weights = checkpoint['state_dict']
    named = {name.removeprefix('module.'): x for name, x in averages.items() if name.startswith('module.')}
    wrong = sorted({*named} ^ {*weights})
    wrong += [name for name in named if name in weights and named[name].shape != weights[name].shape]
    if wrong:
        raise ValueError(
            f"{source}: 'state_dict' and 'ema_state_dict' differ in {len(wrong)} names or shapes, such as "
            f'{", ".join(wrong[:3])}. It cannot be resumed from; weights to start from are taken by load_from.'
        )
    check_values(weights, named, f"{source} ('ema_state_dict')")


def _say_what_is_left(
    own, weights, source: str, missing: list[str], optional: Iterable[str] | None, unused: list[str] | None = None
) -> None:
    """An error where weights are missing that may not; else a line about what was not used."""
    missing = [name for name in own if name in set(missing)]
    unused = [name for name in weights if name not in own and (unused is None or name in unused)]

    def shown(names: list[str]) -> str:
        return _few([_with_shapes(name, own, weights) for name in names])

    if optional is not None:
        needed = [name for name in missing if not name.startswith(tuple(optional))]
        needed = [name for name in needed if tuple(optional) == () or not name.endswith(_COUNTER)]
        if needed:
            raise ValueError(
                f'{source} lacks {len(needed)} of the {len(own)} weights of this model, or has them in another shape, '
                f'such as {shown(needed[:3])}; it has {len(unused)} others, such as '
                f'{", ".join(unused[:3]) or "none"}. Give the config that it was trained with. Weights of other code '
                f'are converted first; to start from what fits use load_from in the config for training.'
            )
    elif own and not [name for name in own if name not in missing and not name.endswith(_COUNTER)]:
        hint = next((name.split('.')[0] for name in weights if name.partition('.')[2] in own), None)
        hint = f" Its names begin with '{hint}.': give prefix='{hint}.'." if hint else ''
        raise ValueError(
            f'None of the {len(own)} weights of this model, such as {next(iter(own))}, is in {source}, which has '
            f'{", ".join(list(weights)[:3])} and others.{hint} Weights of other code are converted first.'
        )
    missing = [name for name in missing if not name.endswith(_COUNTER)]
    if optional is None and missing:
        _warn(
            f'{source} lacks {len(missing)} of the {len(own)} weights of this model, or has them in another shape; '
            f'they stay as initialised: {shown(missing)}.'
        )
    unused = [name for name in unused if not name.startswith(TRAINING_ONLY)]
    if unused:
        _warn(f'{len(unused)} weights of {source} have no place in this model and are not used: {_few(unused)}.')


def _kind(x: Tensor) -> str:
    if x.is_floating_point():
        return 'floating-point numbers'
    return 'complex numbers' if x.is_complex() else 'truth values' if x.dtype == torch.bool else 'whole numbers'


def _finite(x: Tensor) -> bool:
    return x.device.type == 'meta' or bool(torch.isfinite(x).all())


def _with_shapes(name: str, own: Mapping, weights: Mapping) -> str:
    if name not in weights:
        return name
    return f'{name} ({tuple(weights[name].shape)} in the file, {tuple(own[name].shape)} in the model)'


def _few(names: list[str], limit: int = 6) -> str:
    return ', '.join(names[:limit]) + (f' and {len(names) - limit} more' if len(names) > limit else '')


def _warn(message: str) -> None:
    print_log(message, 'current', logging.WARNING)
