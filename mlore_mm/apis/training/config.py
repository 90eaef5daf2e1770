"""Reads a config and the options that every command line shares."""

import argparse
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mmengine.config import Config
from mmengine.utils import import_modules_from_strings

from mlore_mm.apis.training.overrides import OverrideAction, apply_overrides
from mlore_mm.engine.config_check import check_overrides
from mlore_mm.utils.whole_files import explain_disk

TRACEBACK_SWITCH = 'MLORE_MM_TRACEBACK'


def load_config(
    path: str, *, cfg_options: dict | None = None, work_dir: str | None = None, launcher: str = 'none'
) -> Config:
    """Read a config file, apply overrides, and settle the work folder.

    Args:
        path: Config file.
        cfg_options: Overrides by dotted key, as in ``{'tasks.edge.loss_weight': 20}``.
        work_dir: Where logs and checkpoints go; else that of the config, else ``work_dirs/<name of the config>``.
        launcher: 'none', 'pytorch', 'slurm' or 'mpi'.

    Raises:
        ValueError: There is no such file, or an override does not fit it.
    """
    if not Path(path).is_file():
        raise ValueError(f'There is no config file {path}. The configs are in configs/, as configs/mlore/*.py.')
    cfg = Config.fromfile(path)
    cfg.launcher = launcher
    if cfg_options:
        check_overrides(cfg, cfg_options)
        apply_overrides(cfg, cfg_options)
        _import_what_is_named_now(cfg, cfg_options)
    if work_dir is not None:
        cfg.work_dir = work_dir
    elif cfg.get('work_dir') is None:
        cfg.work_dir = str(Path('work_dirs') / Path(path).stem)
    return cfg


def _import_what_is_named_now(cfg: Config, options: dict) -> None:
    """``custom_imports`` of the command line; those of the file were imported while it was read."""
    if any(key.split('.')[0] == 'custom_imports' for key in options):
        try:
            import_modules_from_strings(**cfg.custom_imports)
        except (ImportError, TypeError) as error:
            raise ValueError(f'custom_imports of the command line: {error}.') from error


def check_checkpoint(path: str) -> str:
    """``path``, which must be a URL or a file.

    Raises:
        ValueError: There is no such file.
    """
    if '://' not in path and not Path(path).is_file():
        raise ValueError(f'There is no checkpoint {path}. Training writes them to its work folder as iter_*.pth.')
    return path


def add_common_options(parser: argparse.ArgumentParser) -> None:
    """The options that training and testing share, named as in mmsegmentation."""
    parser.add_argument('--work-dir', help='folder for logs and checkpoints (default: work_dirs/<config>)')
    parser.add_argument('--tasks', nargs='+', metavar='TASK', help='use these tasks of the config only')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=OverrideAction,
        metavar='KEY=VALUE',
        help='override settings of the config, as in tasks.edge.loss_weight=20 or "model.decode_head.ranks=[8,16]"',
    )
    parser.add_argument('--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none')
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0, help='set by the launcher')


def set_local_rank(local_rank: int) -> None:
    """mmengine reads the rank from the environment, where older launchers do not put it."""
    os.environ.setdefault('LOCAL_RANK', str(local_rank))


def _message(error: Exception) -> str:
    """What was said where it was raised; PyTorch puts the traceback of a loader's worker before it."""
    text, name = str(error), type(error).__name__
    return text.rsplit(f'\n{name}: ', 1)[-1].rstrip() if text.startswith(f'Caught {name} in ') else text


@contextmanager
def user_errors() -> Iterator[None]:
    """End the program with the message alone where the user gave something wrong, which our code says by ValueError.

    The environment variable ``MLORE_MM_TRACEBACK=1`` keeps the whole traceback.
    """
    try:
        yield
    except (ValueError, OSError) as error:
        told = _message(error) if isinstance(error, (ValueError, FileNotFoundError)) else explain_disk(error)
        if told is None or os.environ.get(TRACEBACK_SWITCH):
            raise
        print(f'\nerror: {told}\n({TRACEBACK_SWITCH}=1 shows where it was raised)', file=sys.stderr)
        sys.exit(1)
