"""What a checkpoint says beside its weights, checked before anything goes by it."""

_NUMBERS = ('iter', 'epoch', 'seed', 'data_seed')


def check_meta(checkpoint: dict, source: str, resuming: bool = False) -> None:
    """See that ``meta`` and ``message_hub`` have the form that a runner writes, and drop what would be run.

    mmengine reads ``meta['config']``, which is Python source, by running it; it is taken out. (Checkpoints of the
    runner keep their config under 'cfg', which is only text.)

    Args:
        checkpoint: Changed in place: a ``meta`` that is missing or None becomes an empty dict.
        source: Name of the file, for the message.
        resuming: Whether a training is to go on from here.

    Raises:
        ValueError: Something has another form, or, for resuming, iteration or epoch are not known.
    """
    if checkpoint.get('meta') is None:
        checkpoint['meta'] = {}
    meta = checkpoint['meta']
    if not isinstance(meta, dict):
        raise ValueError(f"{source} has a {type(meta).__name__} as 'meta', where a dict was expected.")
    meta.pop('config', None)
    for key in _NUMBERS:
        value = meta.get(key)
        if value is not None and (type(value) is not int or value < 0):
            raise ValueError(
                f"{source} says meta['{key}'] = {_short(value)}, where a number of 0 or more was expected."
            )
    tasks = meta.get('tasks')
    if tasks is not None and not (isinstance(tasks, (list, tuple)) and all(isinstance(x, str) for x in tasks)):
        raise ValueError(f"{source} says meta['tasks'] = {_short(tasks)}; a list of names was expected.")
    if resuming:
        _check_for_resuming(checkpoint, source)


def _check_for_resuming(checkpoint: dict, source: str) -> None:
    missing = [f"meta['{key}']" for key in ('iter', 'epoch') if checkpoint['meta'].get(key) is None]
    missing += [f"'{key}'" for key in ('message_hub', 'optimizer') if key not in checkpoint]
    if missing:
        raise ValueError(
            f'{source} lacks {", ".join(missing)}: it has the weights of a training, but not its state. Give one that '
            f'the training wrote as iter_*.pth or epoch_*.pth; to start anew from these weights use load_from in the '
            f'config, without --resume.'
        )
    hub = checkpoint['message_hub']
    parts = ('log_scalars', 'runtime_info', 'resumed_keys')
    if not isinstance(hub, dict) or not all(isinstance(hub.get(part), dict) for part in parts):
        raise ValueError(f"{source} has a 'message_hub' that is not a dict of the dicts {', '.join(parts)}.")


def _short(value) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f'{text[:80]}...'
