"""Reading checkpoints for the runner: without running code, completely where that matters, and only whole ones."""

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError

from mmengine.dist import broadcast_object_list, is_main_process
from mmengine.logging import print_log
from mmengine.runner import CheckpointLoader
from torch import Tensor, nn

from mlore_mm.utils.checkpoint_files import find_damage, newest_whole_checkpoint
from mlore_mm.utils.safe_load import load_checkpoint_file, refusal

_SWITCH = 'TORCH_FORCE_WEIGHTS_ONLY_LOAD'  # PyTorch's own: nobody can ask torch.load for more than plain values


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


def read_checkpoint(filename: str | Path) -> dict:
    """A file, or what mmengine's loaders know by a prefix (``https://``, ``s3://``), on the CPU and without its code.

    Raises:
        ValueError: See :func:`load_checkpoint_file`.
    """
    filename = str(filename)
    if filename.partition('://')[0] in (filename, 'http', 'https'):
        return load_checkpoint_file(filename)
    with weights_only(filename):
        return CheckpointLoader.load_checkpoint(filename, map_location='cpu')


def choose_checkpoint(work_dir: str, given: str | None) -> str | None:
    """The file to go on from: ``given``, which has to be whole, or the newest whole one of the folder.

    Damaged ones are named in the log. The main process looks, so that all of a distributed run take the same.

    Raises:
        ValueError: ``given`` is damaged, or the folder has checkpoints and none is whole.
    """
    answer = [None, None]
    if is_main_process():
        try:
            answer[0] = _choose(work_dir, given)
        except ValueError as error:
            answer[1] = str(error)
    broadcast_object_list(answer)
    path, error = answer
    if error:
        raise ValueError(error)
    return path


def _choose(work_dir: str, given: str | None) -> str | None:
    if given is None:
        path, problems = newest_whole_checkpoint(work_dir)
        for problem in problems:
            print_log(f'{problem} Going on from {path} instead.', 'current', logging.WARNING)
        return path
    damage = find_damage(given) if '://' not in given else None
    if damage:
        raise ValueError(
            f'The checkpoint {given} cannot be used: {damage}. Give another one, or --resume alone, which takes the '
            f'newest whole one of the work folder ({Path(work_dir).resolve()}).'
        )
    return given


def require_all_weights(
    model: nn.Module | Mapping[str, Tensor], checkpoint: dict, source: str, optional: tuple[str, ...]
) -> None:
    """Raise a ValueError unless every weight of the model is in the checkpoint in its shape.

    mmengine warns and leaves the rest as initialised, and a test then reports a number of a network that was never
    trained.

    Args:
        model: The model, or its weights by name.
        optional: Beginnings of names that may be missing, such as those of parts that only training uses.
    """
    while hasattr(model, 'module'):
        model = model.module
    weights = model.state_dict() if isinstance(model, nn.Module) else model
    stored = {_bare(key): value for key, value in checkpoint['state_dict'].items()}
    missing = [
        key
        for key, value in weights.items()
        if not key.startswith(optional) and getattr(stored.get(key), 'shape', None) != getattr(value, 'shape', None)
    ]
    if missing:
        raise ValueError(
            f'{source} lacks {len(missing)} of the {len(weights)} weights of this model, or has them in '
            f'another shape, such as {", ".join(missing[:3])}. Give the config that it was trained with. Weights of '
            f'other code are converted first; to start from what fits use load_from in the config for training.'
        )


def _bare(key: str) -> str:
    while key.startswith('module.'):
        key = key.removeprefix('module.')
    return key
