"""Files that are either whole or not there."""

import os
import shutil
from contextlib import suppress
from pathlib import Path

PARTIAL = '.partial'  # suffix of what is being written


def write_whole(path: str | Path, data: bytes | str) -> None:
    """Write a file so that at every moment ``path`` is what it was before, or all of ``data``.

    The bytes go to a hidden file beside it, reach the disk, and only then take the name. A program that is killed in
    between leaves ``.<name>.partial``, which :func:`remove_partial` clears away.

    Raises:
        ValueError: The disk is full or the folder cannot be written to; an older file of this name is left as it was.
    """
    path = Path(path)
    data = data.encode() if isinstance(data, str) else data
    partial = path.with_name(f'.{path.name}{PARTIAL}')
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(partial, 'wb') as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
        _sync_folder(path.parent)
    except OSError as error:
        _discard(partial)
        raise ValueError(_explain(path, len(data), error)) from error


def remove_partial(folder: str | Path) -> list[str]:
    """Delete what interrupted writes left in ``folder``; their names."""
    left = sorted(Path(folder).glob(f'.*{PARTIAL}'))
    for path in left:
        path.unlink(missing_ok=True)
    return [path.name for path in left]


def _discard(partial: Path) -> None:
    with suppress(OSError):  # the folder itself may be out of reach; the first error is the one to tell
        partial.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """The new name has to reach the disk as well; not every system can do that for a folder."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    with suppress(OSError):
        os.fsync(handle)
    os.close(handle)


def _explain(path: Path, size: int, error: OSError) -> str:
    try:
        free = f'; {shutil.disk_usage(path.parent).free / 1e6:.0f} MB are free there'
    except OSError:
        free = ''
    return (
        f'Cannot write {path} ({size / 1e6:.1f} MB): {error.strerror or error}{free}. Files written before are '
        f'untouched. Make room, or give another folder, and go on from the last checkpoint (--resume).'
    )
