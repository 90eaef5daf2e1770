"""Whether two checkpoints are the same to the last bit."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from mmengine.logging import HistoryBuffer

from mlore_mm.engine.checkpoints.reader import read_checkpoint

# What a clock or the place of a file decides.
_INCIDENTAL = ('time', 'memory', 'cfg', 'experiment_name', 'ckpt', 'version')


def differences(first: str | Path, second: str | Path) -> list[str]:
    """Names of everything in which two checkpoints differ: weights, optimizer, rates, and the history of the log.

    Left out are times, paths, the config's text, and the history of validations, which a repeated one adds to.
    """
    return list(_compare('', _comparable(first), _comparable(second)))


def _comparable(path: str | Path) -> dict:
    checkpoint = read_checkpoint(path)
    hub = checkpoint.pop('message_hub', {})
    checkpoint['log'] = {key: _history(value) for key, value in hub.get('log_scalars', {}).items()}
    checkpoint['runtime'] = hub.get('runtime_info', {})
    return checkpoint


def _history(buffer: HistoryBuffer) -> tuple:
    return tuple(map(np.asarray, buffer.data))


def _compare(name: str, a, b) -> Iterator[str]:
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        for key in sorted({*a, *b}, key=str):
            path = f'{name}.{key}' if name else str(key)
            if path.startswith('log.val/') or any(word in str(key) for word in _INCIDENTAL):
                continue
            if key in a and key in b:
                yield from _compare(path, a[key], b[key])
            else:
                yield path
    elif isinstance(a, list | tuple) and isinstance(b, list | tuple) and len(a) == len(b):
        for index, pair in enumerate(zip(a, b, strict=True)):
            yield from _compare(f'{name}[{index}]', *pair)
    elif not _same(a, b):
        yield name


def _same(a, b) -> bool:
    if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor):
        return a.dtype == b.dtype and a.shape == b.shape and _bytes(a) == _bytes(b)
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        return np.array_equal(a, b, equal_nan=True)
    return type(a) is type(b) and a == b


def _bytes(tensor: torch.Tensor) -> bytes:
    return tensor.detach().contiguous().view(-1).view(torch.uint8).numpy().tobytes()
