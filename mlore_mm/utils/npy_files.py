"""Arrays of numbers in ``.npy`` files: exactly one, without a byte before, between or behind."""

import io
import math

import numpy as np

from mlore_mm.utils.file_bytes import read_bytes

_ZIP = b'PK\x03\x04'


def read_npy(path: str) -> np.ndarray:
    """The array of real numbers in a ``.npy`` file; no code of the file is ever run.

    Raises:
        ValueError: Naming the file: missing, damaged, longer or shorter than its header says, an archive (``.npz``),
            or something else than numbers.
    """
    try:
        data = read_bytes(path)
        if not data.startswith(_ZIP):
            return _parse(data)
    except Exception as error:  # a damaged header fails in many ways
        raise ValueError(f'{path} cannot be read as a .npy array of numbers: {error}') from error
    raise ValueError(f'{path} is an archive of arrays (.npz), expected one array (.npy).')


def _parse(data: bytes) -> np.ndarray:
    file = io.BytesIO(data)
    version = np.lib.format.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f'its format has the version {version}, expected (1, 0) or (2, 0)')
    header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = header(file)
    if dtype.hasobject:
        raise ValueError('it holds Python objects, which could run code')
    if any(type(size) is not int or size < 0 for size in shape):
        raise ValueError(f'it claims the shape {shape}')
    expected, found = math.prod(shape) * dtype.itemsize, len(data) - file.tell()
    if expected != found:
        raise ValueError(f'it claims {dtype} of shape {shape}, which are {expected} bytes, but {found} follow')
    array = np.frombuffer(data, dtype=dtype, offset=file.tell()).copy() if found else np.zeros(0, dtype)
    return array.reshape(shape[::-1]).T if fortran else array.reshape(shape)
