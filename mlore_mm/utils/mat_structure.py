"""Whether the bytes of a MATLAB 5 file hang together, before SciPy's parser trusts them.

A wrong type number in a damaged file makes that parser read beyond its tables and ends the process. So every tag is
walked here first: types that exist, sizes inside what holds them, as many numbers as the dimensions say, and compressed
variables with the checksum that they carry.
Source: the description of the Level 5 MAT-file format, "MAT-File Format", The MathWorks.
"""

import math
import struct
import zlib
from dataclasses import dataclass

_SIZES = {1: 1, 2: 1, 3: 2, 4: 2, 5: 4, 6: 4, 7: 4, 9: 8, 12: 8, 13: 8}  # bytes of a number by type
_TEXT = {1, 2, 4, 16, 17, 18}
_INT8, _INT32, _UINT32, _MATRIX, _COMPRESSED = 1, 5, 6, 14, 15
_CELL, _STRUCT, _CHAR = 1, 2, 4
_NUMBERS = range(6, 16)
_HEADER = 128
_DEPTH = 20  # of structs within structs
_HEAD, _SHAPE = 256, 24  # bytes of a variable that are looked at first, and where its shape begins


def checked_content(data: bytes, limit: int) -> bytes:
    """The file with its variables as they are without compression, after a look at all of them.

    Args:
        data: The whole file, of version 5.
        limit: Numbers in a variable, at most.

    Raises:
        ValueError: It says where the file does not hang together.
    """
    order = {b'IM': '<', b'MI': '>'}.get(data[126:128])
    if order is None:
        raise ValueError('its header does not say the order of bytes')
    walker, plain = _Walker(order, limit), [data[:_HEADER]]
    position = _HEADER
    while position < len(data):
        begin = position
        kind, start, end, position = walker.tag(data, position, len(data))
        if kind == _COMPRESSED:
            content = _decompress(data[start:end], walker)
            kind, start, end, following = walker.tag(content, 0, len(content))
            if kind != _MATRIX:
                raise ValueError(f'a compressed variable holds the type {kind}')
            walker.matrix(content, start, end)
            plain += [content, bytes(max(following - len(content), 0))]
        elif kind == _MATRIX:
            walker.matrix(data, start, end)
            plain.append(data[begin:position])
        else:
            raise ValueError(f'a variable has the type {kind} at byte {start}')
    return b''.join(plain)


def _decompress(data: bytes, walker: '_Walker') -> bytes:
    decoder = zlib.decompressobj()
    try:
        head = decoder.decompress(data, _HEAD)
        walker.claim(head)
        content = head + decoder.decompress(decoder.unconsumed_tail, 8 * walker.limit + 2**20)
    except zlib.error as error:
        raise ValueError(f'a compressed variable is damaged: {error}') from error
    if not decoder.eof:
        raise ValueError('a compressed variable is cut short, or larger than what is read')
    return content


@dataclass(frozen=True)
class _Walker:
    order: str  # of bytes, '<' or '>'
    limit: int

    def tag(self, data: bytes, position: int, end: int) -> tuple[int, int, int, int]:
        """Type, first byte, byte behind the last, and where the next element begins."""
        if position + 8 > end:
            raise ValueError(f'it ends inside a tag at byte {position}')
        first, size = struct.unpack_from(f'{self.order}II', data, position)
        if first >> 16:  # a small element: type, size and up to four bytes in one tag
            kind, size, start = first & 0xFFFF, first >> 16, position + 4
            following = position + 8
            if size > 4:
                raise ValueError(f'a small element claims {size} bytes at byte {position}')
        else:
            kind, start = first, position + 8
            filling = 0 if kind == _COMPRESSED else -size % 8
            following = start + size + filling
        if start + size > end:
            raise ValueError(f'an element claims {size} bytes at byte {position}, more than there are')
        return kind, start, start + size, following

    def claim(self, head: bytes) -> None:
        """Refuse a variable of too many numbers by its first bytes, before the others are decompressed."""
        if len(head) < _SHAPE + 16:
            return
        kind, size = struct.unpack_from(f'{self.order}II', head, _SHAPE)
        if kind == _INT32 and size % 4 == 0 and _SHAPE + 8 + size <= len(head):
            shape = struct.unpack_from(f'{self.order}{size // 4}i', head, _SHAPE + 8)
            if math.prod(shape) > self.limit:
                raise self.huge(shape)

    def huge(self, shape: tuple[int, ...]) -> ValueError:
        return ValueError(f'a variable claims the shape {shape}, more than the {self.limit} numbers that are read')

    def matrix(self, data: bytes, position: int, end: int, depth: int = 0) -> None:
        """Walk one variable, or one field of it."""
        if position == end:  # an empty one
            return
        if depth > _DEPTH:
            raise ValueError(f'structs within structs, more than {_DEPTH}')
        flags, position = self.numbers(data, position, end, _UINT32, 'flags')
        shape, position = self.numbers(data, position, end, _INT32, 'dimensions')
        kind, start, stop, position = self.tag(data, position, end)
        if kind != _INT8:
            raise ValueError(f'a name has the type {kind} at byte {start}')
        if len(flags) != 2 or len(shape) < 2 or min(shape) < 0:
            raise ValueError(f'a variable claims the shape {shape}')
        if math.prod(shape) > self.limit:
            raise self.huge(shape)
        if flags[0] & 0x0800:
            raise ValueError('it holds complex numbers')
        mx_class, count = flags[0] & 0xFF, math.prod(shape)
        if mx_class in _NUMBERS:
            self.values(data, position, end, count)
        elif mx_class == _CHAR:
            kind, start, _, _ = self.tag(data, position, end)
            if kind not in _TEXT:
                raise ValueError(f'text has the type {kind} at byte {start}')
        elif mx_class == _CELL:
            self.elements(data, position, end, count, depth)
        elif mx_class == _STRUCT:
            fields, position = self.fields(data, position, end)
            self.elements(data, position, end, count * fields, depth)
        else:
            raise ValueError(f'a variable has the class {mx_class}, expected numbers, text, cells or structs')

    def numbers(self, data: bytes, position: int, end: int, wanted: int, name: str) -> tuple[tuple[int, ...], int]:
        kind, start, stop, following = self.tag(data, position, end)
        if kind != wanted or (stop - start) % 4 or stop == start:
            raise ValueError(f'{name} have the type {kind} and {stop - start} bytes at byte {start}')
        letter = 'I' if wanted == _UINT32 else 'i'
        return struct.unpack(f'{self.order}{(stop - start) // 4}{letter}', data[start:stop]), following

    def values(self, data: bytes, position: int, end: int, count: int) -> None:
        if not count and position >= end:  # an empty variable may leave its numbers out
            return
        kind, start, stop, _ = self.tag(data, position, end)
        if kind not in _SIZES or stop - start != count * _SIZES[kind]:
            raise ValueError(f'{count} numbers have the type {kind} and {stop - start} bytes at byte {start}')

    def fields(self, data: bytes, position: int, end: int) -> tuple[int, int]:
        """The number of fields of a struct, and where their values begin."""
        (length, *_), position = self.numbers(data, position, end, _INT32, 'lengths of names')
        kind, start, stop, position = self.tag(data, position, end)
        if kind != _INT8 or length < 1 or (stop - start) % length:
            raise ValueError(f'names of fields have the type {kind} and {stop - start} bytes at byte {start}')
        return (stop - start) // length, position

    def elements(self, data: bytes, position: int, end: int, count: int, depth: int) -> None:
        for _ in range(count):
            kind, start, stop, position = self.tag(data, position, end)
            if kind != _MATRIX:
                raise ValueError(f'a field or cell has the type {kind} at byte {start}')
            self.matrix(data, start, stop, depth + 1)
