"""Reading and writing weight files without trusting them."""

import os
import tempfile
from pathlib import Path
from typing import Any

import torch


def read_checkpoint(path: str | Path) -> Any:
    """What ``torch.save`` wrote, tensors on the CPU; a file that would run code is refused.

    Raises:
        ValueError: There is no such file, or it holds more than tensors and plain values.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f'There is no checkpoint {path}.')
    try:
        return torch.load(path, map_location='cpu', weights_only=True)
    except Exception as error:
        reason = str(error).strip().split('\n')[0]
        raise ValueError(
            f'{path} cannot be read as tensors and plain values alone ({reason}). Files that need more are refused, as '
            'reading them can run code. The file may also be damaged.'
        ) from error


def write_checkpoint(checkpoint: dict, path: str | Path) -> None:
    """``torch.save`` that leaves either the whole file or what was there before."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f'.{path.name}.')
    os.close(handle)
    try:
        torch.save(checkpoint, temporary)
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def _umask() -> int:
    """The process's file mode mask, which can only be read by setting it; mkstemp ignores it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
