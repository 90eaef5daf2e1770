"""Weights in the format of the safetensors package: tensors and a table of texts, nothing that could run."""

import hashlib
import json
from pathlib import Path

import torch
from torch import Tensor

SUFFIX = '.safetensors'
_META, _SUM = 'mlore_mm.meta', 'mlore_mm.sha256'


def read_safetensors(path: Path, source: str) -> dict:
    """``state_dict``, and ``meta`` where :func:`safetensors_bytes` wrote it. The format has no checksums; ours has one.

    Raises:
        ValueError: The package is not installed; the file is damaged.
    """
    safetensors = _package(source)
    try:
        with safetensors.safe_open(str(path), framework='pt', device='cpu') as file:
            texts = file.metadata() or {}
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (it is no dict)
        meta = json.loads(texts.get(_META, '{}'))
    except Exception as error:  # its own error class, JSON's, or the system's
        raise ValueError(f'{source} cannot be read as safetensors: {error}. Copy or download it again.') from error
    if _SUM in texts and texts[_SUM] != _checksum(weights):
        raise ValueError(f'{source} was not read: its checksum does not fit. Copy or download it again.')
    return dict(state_dict=weights, meta=meta)


def safetensors_bytes(checkpoint: dict, source: str) -> bytes:
    """A checkpoint's weights and those of its ``meta`` that JSON knows, as the content of a file.

    Optimizer, schedulers and the log's history have no place in the format: it is one to hand on, not to resume from.
    """
    package = _package(source)
    weights = {name: x.detach().cpu().contiguous().clone() for name, x in checkpoint['state_dict'].items()}
    texts = {_META: json.dumps(_plain(checkpoint.get('meta') or {})), _SUM: _checksum(weights), 'format': 'pt'}
    return package.torch.save(weights, metadata=texts)


def _checksum(weights: dict[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name in sorted(weights):
        tensor = weights[name]
        digest.update(f'{name} {tensor.dtype} {tuple(tensor.shape)}\n'.encode())
        digest.update(tensor.contiguous().view(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def _plain(value):
    """What JSON can hold; the rest is left out."""
    if isinstance(value, dict):
        kept = {key: _plain(x) for key, x in value.items() if isinstance(key, str)}
        return {key: x for key, x in kept.items() if x is not None}
    if isinstance(value, (list, tuple)):
        return [_plain(x) for x in value]
    return value if isinstance(value, (str, int, float, bool)) else None


def _package(source: str):
    try:
        import safetensors
        import safetensors.torch
    except ImportError as error:
        raise ValueError(f'{source} needs the package safetensors: pip install safetensors.') from error
    return safetensors
