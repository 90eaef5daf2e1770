"""Errors of libraries that go by what is in a checkpoint, told with the file's name."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def naming_checkpoint(path) -> Iterator[None]:
    """Inside, whatever fails because of what a checkpoint holds becomes a ValueError that names the file.

    Raises:
        ValueError: As said. A disk that fails and a device without memory are not the file's fault and pass.
    """
    try:
        yield
    except ValueError as error:
        if str(path) in str(error):
            raise
        raise ValueError(f'{path}: {error}') from error
    except (OSError, MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        raise ValueError(
            f'{path} cannot be used: something in it has another form than expected ({type(error).__name__}: {error}). '
            f'Give one that this version wrote, or start anew from its weights (load_from, without --resume).'
        ) from error
