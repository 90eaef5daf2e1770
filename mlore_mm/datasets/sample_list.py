"""Which samples a data set has: split files, folders, and what is missing in them."""

import os
from collections import Counter
from collections.abc import Sequence

_SHOWN = 5  # names listed in an error message


class Folders:
    """Answers whether files exist with one listing per folder, which network file systems answer much faster."""

    def __init__(self) -> None:
        self._names: dict[str, frozenset[str]] = {}
        self._lower: dict[str, dict[str, str]] = {}

    def has(self, path: str) -> bool:
        folder, name = os.path.split(path)
        return name in self._list(folder)

    def other_case(self, path: str) -> str | None:
        """A file whose name differs from that of ``path`` in capital letters only."""
        folder, name = os.path.split(path)
        if folder not in self._lower:
            self._lower[folder] = {found.lower(): found for found in self._list(folder)}
        found = self._lower[folder].get(name.lower())
        return None if found in (None, name) else os.path.join(folder, found)

    def _list(self, folder: str) -> frozenset[str]:
        if folder not in self._names:
            try:
                self._names[folder] = frozenset(os.listdir(folder))
            except (FileNotFoundError, NotADirectoryError):
                self._names[folder] = frozenset()
            except OSError as error:
                raise ValueError(f'Cannot list the folder {folder}: {error.strerror or error}.') from error
        return self._names[folder]


def require_folder(path: str, what: str, advice: str) -> None:
    """Raise a ValueError that names ``path`` and what it should be, unless it is a folder."""
    if not os.path.isdir(path):
        found = 'is not a folder' if os.path.exists(path) else 'does not exist'
        raise ValueError(f'{what} {path!r} {found}. {advice}')


def read_split(path: str) -> list[str]:
    """Sample ids, one a line, of a split file; blank lines and Windows line ends do not matter.

    Raises:
        ValueError: The file is missing or not text, lists nothing, lists an id twice, or an id leaves its folder.
    """
    try:
        with open(path, encoding='utf-8-sig') as file:
            ids = [line.strip() for line in file]
    except OSError as error:
        raise ValueError(f'Cannot read the split file {path}: {error.strerror or error}. Check `ann_file`.') from error
    except UnicodeDecodeError as error:
        raise ValueError(f'The split file {path} is not UTF-8 text: {error}.') from error
    ids = [sample_id for sample_id in ids if sample_id]
    if not ids:
        raise ValueError(f'The split file {path} lists no sample.')
    doubled = [sample_id for sample_id, count in Counter(ids).items() if count > 1]
    if doubled:
        raise ValueError(f'The split file {path} lists samples more than once: {name_some(doubled)}.')
    outside = [sample_id for sample_id in ids if os.path.isabs(sample_id) or '..' in sample_id.split('/')]
    if outside:
        raise ValueError(f'The split file {path} names files outside the data set: {name_some(outside)}.')
    return ids


def list_folder(folder: str, suffixes: Sequence[str]) -> list[str]:
    """Sample ids of every file below ``folder`` with one of ``suffixes``, sorted; subfolders become part of the id.

    Raises:
        ValueError: There is none, two files differ in their suffix only, or a folder cannot be listed.
    """
    ids, other_case = [], []
    for parent, children, names in os.walk(folder, onerror=_raise):
        children.sort()
        prefix = os.path.relpath(parent, folder)
        for name in names:
            suffix = next((suffix for suffix in suffixes if name.endswith(suffix)), None)
            if suffix is not None:
                ids.append(os.path.normpath(os.path.join(prefix, name[: len(name) - len(suffix)])).replace(os.sep, '/'))
            elif name.lower().endswith(tuple(suffix.lower() for suffix in suffixes)):
                other_case.append(os.path.normpath(os.path.join(prefix, name)))
    if other_case:
        endings = sorted({os.path.splitext(name)[1] for name in other_case})
        raise ValueError(
            f'The folder {folder} has files whose ending differs from {" or ".join(suffixes)} in capital letters only, '
            f'so they would not be found: {name_some(sorted(other_case))}. Rename them, or name every ending: '
            f'img_suffix={(*suffixes, *endings)}.'
        )
    if not ids:
        raise ValueError(f'The folder {folder} has no file that ends with {" or ".join(suffixes)}.')
    doubled = [sample_id for sample_id, count in Counter(ids).items() if count > 1]
    if doubled:
        raise ValueError(f'The folder {folder} has several images of one name: {name_some(doubled)}.')
    return sorted(ids)


def _raise(error: OSError) -> None:
    raise ValueError(f'Cannot list the folder {error.filename}: {error.strerror}.') from error


def name_some(items: Sequence[str]) -> str:
    """The first few of ``items`` for a message, and how many more there are."""
    shown = ', '.join(items[:_SHOWN])
    return shown if len(items) <= _SHOWN else f'{shown} and {len(items) - _SHOWN} more'
