"""The one reader of weight files: without running what they may contain, and only whole ones."""

import os
import re
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError

import torch
from mmengine.dist import barrier, is_main_process
from mmengine.logging import print_log
from mmengine.runner import CheckpointLoader
from torch import Tensor

from mlore_mm.engine.checkpoints.files import find_damage
from mlore_mm.engine.checkpoints.safetensors_files import SUFFIX, read_safetensors
from mlore_mm.registry import FUNCTIONS
from mlore_mm.utils.compat import allow_checkpoint_globals
from mlore_mm.utils.unwrap import bare_name

_FORBIDDEN = re.compile(r'(?:GLOBAL|global|Unsupported class) ([\w.]+)')
_HASH = re.compile(r'-([0-9a-f]{8,})\.')  # in the names of published files
_SWITCH = 'TORCH_FORCE_WEIGHTS_ONLY_LOAD'  # PyTorch's own: nobody can ask torch.load for more than plain values


@FUNCTIONS.register_module()
def read_checkpoint(path: str | Path) -> dict:
    """A checkpoint on the CPU, read with ``weights_only=True`` and in no other way.

    A pickle can hold calls of any function, so reading one without restriction runs what its author wrote. mmengine's
    loader (in the maintained releases) falls back to that where the restricted reading fails; this one stops. All
    checksums of the file are compared, which PyTorch does not do.

    Args:
        path: A file (``.safetensors`` by its suffix, else what ``torch.save`` wrote); a URL, kept in PyTorch's folder
            of downloads; or what mmengine's loaders know by another prefix, such as ``s3://``.

    Returns:
        The checkpoint, with the weights under 'state_dict', by their names without the prefixes of wrappers; weights
        alone, or under 'model', are put there.

    Raises:
        ValueError: There is no such file, it is damaged, holds anything but weights and plain values, or no weights.
    """
    checkpoint = read_plain(path)
    return _with_state_dict(checkpoint, path)


load_checkpoint_file = read_checkpoint  # the name of 0.1


def read_plain(path: str | Path):
    """What is in a file, whatever its form; else as :func:`read_checkpoint`."""
    scheme = str(path).partition('://')[0]
    if scheme == str(path):
        return _read_file(Path(path), str(path))
    if scheme in ('http', 'https'):
        return _read_file(_download(str(path)), str(path))
    with weights_only(str(path)):
        return CheckpointLoader.load_checkpoint(str(path), map_location='cpu')


def _read_file(path: Path, source: str):
    if not path.is_file():
        raise ValueError(f'There is no checkpoint {source}. Training writes them to its work folder as iter_*.pth.')
    if path.suffix == SUFFIX:
        return read_safetensors(path, source)
    damage = find_damage(path) if _is_archive(path) else None  # files of before PyTorch 1.6 have no checksums
    if damage:
        raise ValueError(f'{source} was not read: {damage}. Copy or download it again.')
    allow_checkpoint_globals()
    try:
        return torch.load(path, map_location='cpu', weights_only=True)
    except UnpicklingError as error:
        raise ValueError(refusal(source, error)) from error
    except Exception as error:  # a damaged pickle can fail in any way
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(f'{source} cannot be read as a checkpoint: {reason}. Copy or download it again.') from error


def _is_archive(path: Path) -> bool:
    with open(path, 'rb') as file:
        return file.read(2) == b'PK'


def _download(url: str) -> Path:
    """Where the file of a URL is kept; the main process fetches it first. A hash in its name is compared."""
    path = Path(torch.hub.get_dir()) / 'checkpoints' / os.path.basename(url.partition('?')[0])
    for turn in (True, False):
        if is_main_process() == turn and not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            found = _HASH.search(path.name)
            print_log(f'Downloading {url} to {path}', 'current')
            try:
                torch.hub.download_url_to_file(url, str(path), found and found.group(1), progress=False)
            except (OSError, RuntimeError) as error:
                raise ValueError(f'{url} cannot be downloaded: {error}.') from error
        barrier()
    return path


@contextmanager
def weights_only(source: str) -> Iterator[None]:
    """Whatever reads files inside with ``torch.load`` reads plain values only, mmengine's loaders included.

    mmengine's loader of the maintained releases falls back to unrestricted reading where the restricted one fails, and
    both families read files from the network without restriction.

    Raises:
        ValueError: A file holds more, which only running its code could read.
    """
    before = os.environ.get(_SWITCH)
    os.environ[_SWITCH] = '1'
    try:
        yield
    except UnpicklingError as error:
        raise ValueError(refusal(source, error)) from error
    finally:
        if before is None:
            del os.environ[_SWITCH]
        else:
            os.environ[_SWITCH] = before


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
    if not isinstance(weights, dict) or not weights:
        found = list(checkpoint)[:8] if isinstance(checkpoint, dict) else f'a {type(checkpoint).__name__}'
        raise ValueError(
            f"{path} holds no weights: a dict of tensors, alone or under 'state_dict', was expected, but got {found}."
        )
    checkpoint['state_dict'] = plain_weights(weights, str(path))
    return checkpoint


def plain_weights(weights: dict, source: str) -> dict[str, Tensor]:
    """Weights by their bare names, each seen to be a tensor with values of its own.

    Raises:
        ValueError: Something is no such tensor, or two of one bare name differ.
    """
    bare: dict[str, Tensor] = OrderedDict()
    for name, value in weights.items():
        if not isinstance(name, str):
            raise ValueError(f"{source} has {name!r} among the names of its weights ('state_dict'), which are texts.")
        if not isinstance(value, Tensor):
            raise ValueError(f"{source} has a {type(value).__name__} as weight '{name}', where a tensor was expected.")
        if value.layout != torch.strided or value.is_quantized or value.device.type == 'meta':
            kind = 'quantized' if value.is_quantized else f'{value.layout}'.removeprefix('torch.')
            kind = 'without values (device meta)' if value.device.type == 'meta' else kind
            raise ValueError(f"{source} has weight '{name}' as a tensor that is {kind}; a plain one was expected.")
        own = bare_name(name)
        if own in bare and not (bare[own].shape == value.shape and torch.equal(bare[own], value)):
            raise ValueError(
                f"{source} has weight '{own}' twice, with the prefix of a wrapper ('{name}') and without, and they "
                f'differ. Keep one of them.'
            )
        bare[own] = value
    versions = getattr(weights, '_metadata', None)  # of the modules, for those that read older files differently
    if isinstance(versions, dict):
        bare._metadata = {bare_name(f'{key}.')[:-1]: x for key, x in versions.items() if isinstance(x, dict)}
    return bare
