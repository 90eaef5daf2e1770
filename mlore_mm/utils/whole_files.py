"""Files that are either whole or not there."""

import errno
import io
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
from PIL import Image

PARTIAL = '.partial'  # suffix of what is being written


DISK = (errno.ENOSPC, errno.EROFS, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EIO)  # no mistakes of a program


def write_whole(path: str | Path, data: bytes | str, lasting: bool = True) -> None:
    """Write a file so that at every moment ``path`` is what it was before, or all of ``data``.

    The bytes go to a hidden file beside it, reach the disk, and only then take the name. A program that is killed in
    between leaves ``.<name>.partial``, which :func:`remove_partial` clears away.

    Args:
        path: The file; its folder is made.
        data: All of it.
        lasting: Wait for the disk, so that a power cut does no harm; False for what is easily made again.

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
            if lasting:
                os.fsync(file.fileno())
        os.replace(partial, path)
        if lasting:
            _sync_folder(path.parent)
    except OSError as error:
        _discard(partial)
        advice = 'Make room, or give another folder'
        advice += ', and go on from the last checkpoint (--resume).' if lasting else '.'
        raise ValueError(f'{_explain(path, len(data), error)} {advice}') from error


def write_picture(path: str | Path, picture: np.ndarray) -> None:
    """An image (H, W) or (H, W, 3) RGB by the suffix of its name, whole, see :func:`write_whole`."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format=Image.registered_extensions()[Path(path).suffix.lower()])
    write_whole(path, buffer.getvalue(), lasting=False)


def write_array(path: str | Path, values: np.ndarray) -> None:
    """An array as ``.npy``, whole, see :func:`write_whole`."""
    buffer = io.BytesIO()
    np.save(buffer, values)
    write_whole(path, buffer.getvalue(), lasting=False)


def write_figure(path: str | Path, figure, dpi: int) -> None:
    """A figure of matplotlib by the suffix of its name, whole, see :func:`write_whole`."""
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=dpi, format=Path(path).suffix[1:].lower() or 'png')
    write_whole(path, buffer.getvalue(), lasting=False)


@contextmanager
def written_by_others(path: str | Path, several: bool = False) -> Iterator[Path]:
    """Around a writer of another package: it gets a file beside ``path``, which takes the name when it is whole.

    Args:
        path: The file; its folder is made.
        several: The writer may put more files beside this one and name them in it, so it gets the same name in a folder
            of its own; ``path`` takes its place last.

    Raises:
        ValueError: The disk is full or the folder cannot be written to.
    """
    path = Path(path)
    partial = path.with_name(f'.partial_{path.name}')
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if several:
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir()
            yield partial / path.name
            for written in sorted(partial.iterdir(), key=lambda x: x.name == path.name):
                os.replace(written, path.with_name(written.name))
            partial.rmdir()
        else:
            yield partial
            os.replace(partial, path)
    except (OSError, RuntimeError) as error:  # PyTorch's writer of archives has RuntimeErrors for disks
        _discard(partial)
        reason = getattr(error, 'strerror', None) or (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(f'Cannot write {path}: {reason}{_free(path)}. Make room, or give another folder.') from error
    except BaseException:  # whatever else the writer has to say
        _discard(partial)
        raise


def check_writable(folder: str | Path) -> None:
    """Before long work: whether something can be written to a folder, which is made.

    Raises:
        ValueError: The disk is full or read-only, or the folder belongs to somebody else.
    """
    if '://' in str(folder):
        return
    probe = Path(folder) / f'.writable_{os.getpid()}'
    write_whole(probe, bytes(4096), lasting=False)
    with suppress(OSError):
        probe.unlink()


def explain_disk(error: OSError) -> str | None:
    """One line about an error of a disk; None where it is none."""
    if error.errno not in DISK:
        return None
    path = Path(os.fsdecode(error.filename)) if isinstance(error.filename, (str, bytes)) else None
    return f'Cannot write {path or "a file"}: {error.strerror}{_free(path) if path else ""}.'


def remove_partial(folder: str | Path) -> list[str]:
    """Delete what interrupted writes left in ``folder``; their names."""
    left = sorted(Path(folder).glob(f'.*{PARTIAL}'))
    for path in left:
        path.unlink(missing_ok=True)
    return [path.name for path in left]


def _discard(partial: Path) -> None:
    with suppress(OSError):  # the folder itself may be out of reach; the first error is the one to tell
        if partial.is_dir():
            shutil.rmtree(partial, ignore_errors=True)
        else:
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
    reason = error.strerror or error
    return f'Cannot write {path} ({size / 1e6:.1f} MB): {reason}{_free(path)}. Files written before are untouched.'


def _free(path: Path) -> str:
    try:
        return f'; {shutil.disk_usage(path.parent).free / 1e6:.0f} MB are free there'
    except OSError:
        return ''
