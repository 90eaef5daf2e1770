"""Variables of MATLAB 5 files. SciPy reads them, which runs no code."""

import io
import os
from functools import lru_cache

import numpy as np
import scipy.io

from mlore_mm.utils.file_bytes import MAX_PIXELS, read_bytes
from mlore_mm.utils.mat_structure import checked_content

_CONTEXT_CLASSES = 459


def load_mat(path: str, variable: str, limit: int = MAX_PIXELS) -> np.ndarray:
    """One variable of a MATLAB 5 file.

    Args:
        limit: Numbers in a variable that are read; they are compressed, so some kilobytes may stand for gigabytes.

    Raises:
        ValueError: The file is missing or damaged, of another version, claims more, or lacks the variable.
    """
    data = read_bytes(path)
    try:
        major, _ = scipy.io.matlab.matfile_version(io.BytesIO(data))
        if major != 1:
            raise ValueError('it is not in MATLAB 5 format; save it with `-v7` or `-v6`')
        file = io.BytesIO(checked_content(data, limit))  # decompressed once, for the check and for SciPy
        names = [name for name, _, _ in scipy.io.whosmat(file)]
        file.seek(0)
        content = scipy.io.loadmat(file, variable_names=[variable])
    except Exception as error:  # SciPy's reader fails in many ways on damaged files
        raise ValueError(f'{path} cannot be read as a MATLAB file: {error}.') from error
    if not isinstance(content.get(variable), np.ndarray):
        raise ValueError(f'{path} has no variable `{variable}`; it holds {names}.')
    return content[variable]


def read_label_map(path: str, limit: int = MAX_PIXELS) -> np.ndarray:
    """The context class of every pixel of a PASCAL-Context file, (H, W) uint16 of 0 to 459; do not write into it.

    Edges and normals of one image need the same file, so the last one is kept.

    Raises:
        ValueError: See :func:`load_mat`; or ``LabelMap`` is not a map of whole numbers from 0 to 459.
    """
    try:
        status = os.stat(path)
    except OSError as error:
        raise ValueError(f'Cannot read {path}: {error.strerror or error}.') from error
    return _read_label_map(path, limit, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=1)
def _read_label_map(path: str, limit: int, *version: int) -> np.ndarray:
    label_map = load_mat(path, 'LabelMap', limit)
    if label_map.ndim != 2 or label_map.dtype.kind not in 'uif':
        raise ValueError(f'{path}: LabelMap is {label_map.dtype} of shape {label_map.shape}, expected ids, (H, W).')
    if label_map.size and not (label_map.min() >= 0 and label_map.max() <= _CONTEXT_CLASSES):
        raise ValueError(f'{path}: LabelMap has ids {label_map.min()} to {label_map.max()}, expected 0 to 459.')
    ids = label_map.astype(np.uint16)
    if not np.array_equal(ids, label_map):
        raise ValueError(f'{path}: LabelMap has fractions, expected whole ids from 0 to 459.')
    ids.flags.writeable = False
    return ids
