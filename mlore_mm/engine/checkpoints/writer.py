"""The one writer of checkpoints: whole, or as if it had not been called."""

import io
from pathlib import Path

import torch

from mlore_mm.engine.checkpoints.safetensors_files import SUFFIX, safetensors_bytes
from mlore_mm.utils.whole_files import write_whole


def write_checkpoint(checkpoint: dict, path: str | Path) -> None:
    """Write a checkpoint; as safetensors (weights and what ``meta`` says) where the suffix is that.

    Raises:
        ValueError: The disk is full or cannot be written to; an older file of this name is left as it was.
    """
    write_whole(path, checkpoint_bytes(checkpoint, path))


def checkpoint_bytes(checkpoint: dict, path: str | Path) -> bytes:
    """The content of the file ``path``."""
    if Path(path).suffix == SUFFIX:
        return safetensors_bytes(checkpoint, str(path))
    buffer = io.BytesIO()
    torch.save(checkpoint, buffer)
    return buffer.getvalue()
