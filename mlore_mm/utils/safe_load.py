"""Reads checkpoints without running what they may contain."""

import re
import zipfile
from pathlib import Path
from pickle import UnpicklingError

import torch

from mlore_mm.utils.compat import allow_checkpoint_globals

_FORBIDDEN = re.compile(r'(?:GLOBAL|global|Unsupported class) ([\w.]+)')


def load_checkpoint_file(path: str | Path) -> dict:
    """A checkpoint on the CPU, read with ``weights_only=True`` and in no other way.

    A pickle can hold calls of any function, so reading one without restriction runs what its author wrote. mmengine's
    loader (in the maintained releases) falls back to that where the restricted reading fails; this one stops.

    Args:
        path: A file, or a URL, which is kept in PyTorch's folder of downloads.

    Returns:
        The checkpoint, with the weights under 'state_dict'; a bare dict of weights is put there.

    Raises:
        ValueError: There is no such file, it is damaged, holds anything but weights and plain values, or no weights.
    """
    allow_checkpoint_globals()
    is_url = '://' in str(path)
    if not is_url and not Path(path).is_file():
        raise ValueError(f'There is no checkpoint {path}. Training writes them to its work folder as iter_*.pth.')
    if not is_url:
        _refuse_compressed(path)
    try:
        if is_url:
            checkpoint = torch.hub.load_state_dict_from_url(str(path), map_location='cpu', weights_only=True)
        else:
            checkpoint = torch.load(path, map_location='cpu', weights_only=True)
    except UnpicklingError as error:
        raise ValueError(refusal(path, error)) from error
    except Exception as error:  # a damaged pickle can fail in any way
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(f'{path} cannot be read as a checkpoint: {reason}. Copy or download it again.') from error
    return _with_state_dict(checkpoint, path)


def _refuse_compressed(path: str | Path) -> None:
    """PyTorch stores plainly; a compressed file can be a thousand times its size in memory."""
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        packed = [entry.filename for entry in archive.infolist() if entry.compress_type != zipfile.ZIP_STORED]
    if packed:
        raise ValueError(f"{path} was not read: '{packed[0]}' in it is compressed, which torch.save does not do.")


def refusal(path: str | Path, error: UnpicklingError) -> str:
    """What to tell the user about a file that PyTorch did not read as plain values."""
    found = _FORBIDDEN.search(str(error))
    what = f"it holds '{found.group(1)}'" if found else 'it holds more than weights and plain values, or is damaged'
    return (
        f'{path} was not read: {what}, which can only be read by running code that the file brings along. Ask its '
        'author for the weights alone, or, if you trust the file, save them yourself: torch.save(torch.load(PATH, '
        "weights_only=False)['state_dict'], OUT)."
    )


def _with_state_dict(checkpoint, path: str | Path) -> dict:
    if isinstance(checkpoint, dict) and 'state_dict' not in checkpoint:
        checkpoint = dict(state_dict=checkpoint.get('model', checkpoint))
    weights = checkpoint.get('state_dict') if isinstance(checkpoint, dict) else None
    if not weights or not all(isinstance(value, torch.Tensor) for value in weights.values()):
        raise ValueError(f"{path} holds no weights: a dict of tensors, alone or under 'state_dict', was expected.")
    return checkpoint
