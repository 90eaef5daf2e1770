"""Named arrays and some plain values as one piece of bytes, read without a copy and without running code."""

import json
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np

_ALIGN = 64
_CODES = 'codes of '


def pack(arrays: Mapping[str, np.ndarray], values: Mapping[str, Any]) -> bytes:
    """Arrays by name, and values that JSON can hold, or arrays and numbers of NumPy; tuples come back as tuples."""
    parts, places, offset = [], [], 0
    for name, array in arrays.items():
        array = np.ascontiguousarray(array)
        places.append([name, array.dtype.str, array.shape, offset])
        padding = -array.nbytes % _ALIGN
        parts += [array.tobytes(), bytes(padding)]
        offset += array.nbytes + padding
    header = json.dumps(dict(arrays=places, values=values), default=_plain).encode()
    header += b' ' * (-(len(header) + 8) % _ALIGN)
    return b''.join([struct.pack('<Q', len(header)), header, *parts])


def unpack(record: np.ndarray) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """What :func:`pack` was given; the arrays are views of ``record``, an array of bytes."""
    (length,) = struct.unpack('<Q', record[:8].tobytes())
    header = json.loads(record[8 : 8 + length].tobytes(), object_hook=_restored)
    arrays = {}
    for name, dtype, shape, offset in header['arrays']:
        dtype, start = np.dtype(dtype), 8 + length + offset
        size = dtype.itemsize * int(np.prod(shape, dtype=np.int64))
        arrays[name] = record[start : start + size].view(dtype).reshape(shape)
    return arrays, {key: _tuples(value) for key, value in header['values'].items()}


def compact(name: str, array: np.ndarray) -> dict[str, np.ndarray]:
    """An array as entries of a record: one byte per number where there are at most 256 different ones. Nothing is lost.

    Bits decide and not values, so that -0.0 and NaN come back as they are.
    """
    if array.dtype.itemsize not in (2, 4, 8):
        return {name: array}
    bits = np.ascontiguousarray(array).view(f'u{array.dtype.itemsize}')
    if len(np.unique(bits.reshape(-1)[:4096])) > 256:  # most arrays with many numbers show it early
        return {name: array}
    numbers, codes = np.unique(bits, return_inverse=True)
    if len(numbers) > 256:
        return {name: array}
    return {_CODES + name: codes.reshape(array.shape).astype(np.uint8), name: numbers.view(array.dtype)}


def expand(name: str, arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    """The array that :func:`compact` took, as a copy that may be written to."""
    codes = arrays.get(_CODES + name)
    return np.array(arrays[name]) if codes is None else arrays[name][codes]


def _plain(value):
    if isinstance(value, np.ndarray):
        return dict(__array__=value.tolist(), dtype=value.dtype.str)
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f'{type(value).__name__} cannot be kept in a record: {value!r}')


def _restored(value: dict):
    return np.array(value['__array__'], dtype=value['dtype']) if '__array__' in value else value


def _tuples(value):
    if isinstance(value, dict):
        return {key: _tuples(item) for key, item in value.items()}
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value
