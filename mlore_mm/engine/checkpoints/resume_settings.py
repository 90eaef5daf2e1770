"""Rates and schedules on resuming: where the config says something else than the checkpoint, it is said, and chosen."""

import copy
import logging
from collections.abc import Iterator, Mapping

from mmengine.dist import get_world_size
from mmengine.logging import print_log

OPTION = 'resume_settings'
CHOICES = ('checkpoint', 'config')
KINDS = 'kinds'  # key of what `kinds_of` says, in a checkpoint's meta
_ALIKE = {'Adam', 'AdamW'}  # the same statistics; how they decay is a setting
# What a scheduler counts or remembers, and what the optimizer's schedule changes: state and not settings.
_STATE = ('last_step', '_global_step', '_last_value', 'base_values', 'verbose', 'optimizer')


class _Rates:
    """What a scheduler needs of an optimizer: groups with values."""

    def __init__(self, groups: list[dict]) -> None:
        self.param_groups = groups
        self._global_step = 0

    def step(self) -> None:
        self._global_step += 1

    step._with_counter = True


def settle_settings(checkpoint: dict, groups: list[dict], schedulers: list, choice: str, kind: str = '') -> list[str]:
    """Compare an optimizer's settings and its schedule, as built from the config, with those of a checkpoint.

    Args:
        checkpoint: About to be resumed from. With 'config' its settings become those of the config, in place: the
            weights, the optimizer's statistics and the place in the training stay the checkpoint's.
        groups: ``param_groups`` of the optimizer wrapper that was built.
        schedulers: The schedulers that were built, at their first step.
        choice: 'checkpoint' or 'config'.
        kind: Class of the optimizer that was built.

    Returns:
        What differs, in words.

    Raises:
        ValueError: Another choice; another kind of optimizer, whose statistics mean something else; the checkpoint's
            schedules are to be taken, and are of other kinds than the config's; or other groups of parameters.
    """
    if choice not in CHOICES:
        raise ValueError(f"{OPTION} is 'checkpoint' or 'config', but got {choice!r}.")
    optimizer = checkpoint.get('optimizer')
    stored = optimizer.get('param_groups') if isinstance(optimizer, dict) else None
    if not isinstance(stored, list) or not all(isinstance(group, dict) for group in stored):
        return []
    meta = checkpoint.get('meta')
    kinds = meta.get(KINDS) if isinstance(meta, Mapping) else None
    kinds = kinds if isinstance(kinds, Mapping) else {}
    _check_kind(stored, groups, kinds.get('optimizer'), kind)
    if isinstance(optimizer.get('base_param_settings'), dict):  # the rate in mmengine's log
        stored = [*stored, optimizer['base_param_settings']]
    told = list(_group_differences(stored, groups))
    told += _schedule_differences(checkpoint.get('param_schedulers'), schedulers)
    if len(stored) != len(groups):
        raise ValueError(
            f'it has {len(stored)} groups of parameters, and the config makes {len(groups)} (paramwise_cfg, or what is '
            'frozen). Give the same, or start anew from the weights: load_from, without --resume.'
        )
    if choice == 'checkpoint':
        _check_schedules(checkpoint.get('param_schedulers'), schedulers, kinds.get('schedulers'))
    if not told or choice == 'checkpoint':
        return told
    states, rates = _go_to(schedulers, groups, meta['iter'], meta['epoch'])
    for group, own, rate in zip(stored, groups, rates, strict=True):
        group.update({key: value for key, value in own.items() if key not in ('params', 'param_names')})
        group.update(rate)
    checkpoint['param_schedulers'] = states
    return told


def kinds_of(owner) -> dict:
    """What a checkpoint says about the optimizer and the schedules of a runner or strategy: names of their classes."""
    schedulers = getattr(owner, 'param_schedulers', None)
    return dict(
        optimizer=optimizer_kind(getattr(owner, 'optim_wrapper', None)),
        schedulers=[type(x).__name__ for x in schedulers] if isinstance(schedulers, list) else [],
    )


def optimizer_kind(wrapper) -> str:
    """The class of the optimizer in an optimizer wrapper; '' where there is none, or several."""
    inside = getattr(wrapper, 'optimizer', None)
    return '' if inside is None else type(inside).__name__


def _check_schedules(stored, schedulers: list, kinds) -> None:
    """Schedules go on from a checkpoint only where the config's are as many and of the same kinds.

    Checkpoints that do not name theirs are told apart by what the schedules remember.
    """
    if not isinstance(stored, list) or not all(isinstance(state, Mapping) for state in stored):
        return
    ours = [type(scheduler).__name__ for scheduler in schedulers]
    if isinstance(kinds, (list, tuple)) and len(kinds) == len(stored):
        theirs, same = list(kinds), list(kinds) == ours
    else:
        theirs = [f'{len(stored)} schedules']
        same = len(stored) == len(ours) and all(
            {*state} ^ {*scheduler.state_dict()} <= {*_STATE}
            for state, scheduler in zip(stored, schedulers, strict=True)
        )
    if not same:
        raise ValueError(
            f'its param_scheduler is {", ".join(map(str, theirs)) or "empty"}, that of the config '
            f'{", ".join(ours) or "empty"}, which cannot go on from there. {OPTION}="config" goes to where those of '
            'the config would be; or give the same param_scheduler.'
        )


def _check_kind(stored: list[dict], groups: list[dict], theirs_is: object = None, ours_is: str = '') -> None:
    """Statistics of one optimizer mean nothing to another.

    Checkpoints that do not name theirs: optimizers of two kinds have settings of which the other has none; versions
    of PyTorch only add some.
    """
    if isinstance(theirs_is, str) and theirs_is and ours_is:
        if theirs_is != ours_is and {theirs_is, ours_is} != _ALIKE:
            raise ValueError(
                f'it was trained with an optimizer of another kind: {theirs_is}, and the config has {ours_is}. Give '
                'the same optimizer.type, or start anew from its weights: load_from, without --resume.'
            )
        return
    theirs, ours = (
        {key for key in side[0] if not key.startswith('initial_')} if side else set() for side in (stored, groups)
    )
    ours -= {'params', 'param_names'}
    theirs -= {'params', 'param_names'}
    if theirs - ours and ours - theirs:
        raise ValueError(
            f'it was trained with an optimizer of another kind: it has {", ".join(sorted(theirs - ours))}, that of the '
            f'config has {", ".join(sorted(ours - theirs))}. Give the same optimizer.type, or start anew from its '
            f'weights: load_from, without --resume.'
        )


def batch_of(runner) -> dict[str, int]:
    """Images per process and step, processes, and steps per update of the weights."""
    owner = getattr(runner, 'strategy', runner)
    images = getattr(getattr(runner, 'train_dataloader', None), 'batch_size', None)
    updates = getattr(getattr(owner, 'optim_wrapper', None), '_accumulative_counts', 1)
    return dict(images=images or 0, processes=get_world_size(), accumulation=updates)


def batch_difference(stored, own: dict[str, int], step: int) -> str | None:
    """What another batch means for a training that goes on; None where it is the same, or the checkpoint says none."""
    if not isinstance(stored, Mapping) or not all(isinstance(stored.get(key), int) for key in own):
        return None
    theirs, ours = (batch['images'] * batch['processes'] for batch in (stored, own))  # of an iteration
    if not theirs or not ours or (theirs == ours and stored['accumulation'] == own['accumulation']):
        return None
    return (
        f'The checkpoint was trained with {_batch_text(stored)} to an update of the weights, this config has '
        f'{_batch_text(own)}, which is in use. Rates and schedules count iterations and are not changed: iteration '
        f'{step} stood for {step * theirs} images and the next ones go on after image {step * ours} of the order.'
    )


def _batch_text(batch: Mapping) -> str:
    parts = [f'{batch["images"]} images']
    parts += [f'{batch["processes"]} processes'] * (batch['processes'] > 1)
    parts += [f'{batch["accumulation"]} steps'] * (batch['accumulation'] > 1)
    return ' x '.join(parts)


def warn_of(told: list[str], choice: str, source: str) -> None:
    """A warning that says what differs, what is in use, and how to get the other."""
    if not told:
        return
    other = 'config' if choice == 'checkpoint' else 'checkpoint'
    print_log(
        f'Settings of {source} and the config differ; those of the {choice} are in use ({OPTION}={other!r} takes those '
        f'of the {other}):\n  ' + '\n  '.join(told),
        'current',
        logging.WARNING,
    )


def _group_differences(stored: list[dict], groups: list[dict]) -> Iterator[str]:
    seen = set()
    for theirs, ours in zip(stored, groups, strict=False):
        scheduled = {key.removeprefix('initial_') for key in (*theirs, *ours) if key.startswith('initial_')}
        for key in sorted({*theirs, *ours} - {'params', 'param_names', *scheduled}):
            if _plain(theirs.get(key)) != _plain(ours.get(key)):
                line = (
                    f'{_shown(key)}: {_text(theirs.get(key))} in the checkpoint, {_text(ours.get(key))} in the config'
                )
                if line not in seen:
                    yield line
                seen.add(line)


def _schedule_differences(stored, schedulers: list) -> Iterator[str]:
    if not isinstance(stored, list) or not isinstance(schedulers, list):
        return
    if len(stored) != len(schedulers):
        yield f'param_scheduler: {len(stored)} in the checkpoint, {len(schedulers)} in the config'
    for index, (theirs, scheduler) in enumerate(zip(stored, schedulers, strict=False)):
        ours = scheduler.state_dict()
        keys = {*theirs, *ours} if isinstance(theirs, Mapping) else ()
        for key in sorted(key for key in keys if key not in _STATE):
            if _plain(theirs.get(key)) != _plain(ours.get(key)):
                yield (
                    f'param_scheduler[{index}] ({type(scheduler).__name__}) {key}: {_text(theirs.get(key))} in the '
                    f'checkpoint, {_text(ours.get(key))} in the config'
                )


def _go_to(schedulers: list, groups: list[dict], iterations: int, epochs: int) -> tuple[list[dict], list[dict]]:
    """States of the config's schedulers, and what they set in each group, after so many steps."""
    names = {scheduler.param_name for scheduler in schedulers}
    keys = [
        tuple((key, str(group.get(key))) for name in names for key in (name, f'initial_{name}')) for group in groups
    ]
    first = {key: keys.index(key) for key in keys}  # groups of one rate go the same way
    rows = sorted(first.values())
    rates = _Rates([{k: v for k, v in groups[row].items() if k != 'params'} for row in rows])
    copies = []
    for scheduler in schedulers:
        twin = copy.copy(scheduler)
        twin.optimizer, twin.base_values = rates, [scheduler.base_values[row] for row in rows]
        copies.append(twin)
    rates.step()
    length = iterations // epochs if epochs else 0
    for number in range(1, iterations + 1):
        for twin in copies:
            if not twin.by_epoch:
                twin.step()
        if length and number % length == 0:
            for twin in copies:
                if twin.by_epoch:
                    twin.step()
    values = {row: {name: group[name] for name in names} for row, group in zip(rows, rates.param_groups, strict=True)}
    found = [values[first[key]] for key in keys]
    states = []
    for scheduler, twin in zip(schedulers, copies, strict=True):
        last = [value[scheduler.param_name] for value in found]
        states.append({**twin.state_dict(), 'base_values': scheduler.base_values, '_last_value': last})
    return states, found


def _plain(value):
    return list(value) if isinstance(value, (list, tuple)) else value


def _shown(key: str) -> str:
    return f'optimizer.{key.removeprefix("initial_")}'


def _text(value) -> str:
    return f'{value:g}' if isinstance(value, float) else str(value)
