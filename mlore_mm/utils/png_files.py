"""Label maps in PNG files, completely or not at all.

Decoders differ in what damage they report: some fill missing rows of a palette file with index 0, which is a class. So
the checksum of every chunk is compared here, and the rows of the files that such a decoder reads are counted.
"""

import io
import struct
import zlib
from collections.abc import Iterator

import cv2
import numpy as np
from PIL import Image

from mlore_mm.utils.file_bytes import PNG_SIGNATURE, check_claimed_size, read_bytes

_GREY, _PALETTE = 0, 3
# Adam7: first column, first row, and the steps of both, for each of the seven passes of an interlaced file.
_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


def read_png(path: str, palette: bool = True) -> np.ndarray:
    """A label PNG as stored: (H, W) or (H, W, C) in RGB(A) order, uint8 or uint16; palette files give palette indices.

    Args:
        palette: Whether a palette file is meant; where values are amounts and not names, its indices mean nothing.

    Raises:
        ValueError: The file is missing, truncated, damaged, not a PNG, or greyscale with fewer than 8 bits, which
            decoders stretch to 0..255 and so turn ids into other ids.
    """
    data = read_bytes(path)
    if not data.startswith(PNG_SIGNATURE) or len(data) < 33:
        raise ValueError(f'{path} is not a PNG file ({len(data)} bytes). Labels have to be stored without loss.')
    check_claimed_size(data, path)
    chunks = _chunks(data, path)
    colour_type, bits = data[25], data[24]
    if colour_type == _GREY and bits < 8:
        raise ValueError(f'{path} is a greyscale PNG with {bits} bit(s) a pixel, expected 8 or 16. Save it again.')
    if colour_type == _PALETTE:
        if not palette:
            raise ValueError(
                f'{path} is a palette PNG: its numbers name colours and are no amounts. Save it as greyscale, or read '
                f'it with a reader of class ids (IdMapReader).'
            )
        return _palette_indices(data, chunks, path)
    array = _decode(data, path)
    if array.ndim == 3:
        code = {3: cv2.COLOR_BGR2RGB, 4: cv2.COLOR_BGRA2RGBA}[array.shape[2]]
        array = cv2.cvtColor(array, code)
    return array


def check_chunks(data: bytes, path: str) -> None:
    """Raise a ValueError that names ``path`` unless the bytes are a PNG whose chunks are whole, IEND the last."""
    _chunks(data, path)


def _chunks(data: bytes, path: str) -> list[tuple[bytes, bytes]]:
    """Type and content of every chunk, each with the checksum that it says."""
    found, position = [], len(PNG_SIGNATURE)
    for kind, content, checksum in _walk(data, position):
        if zlib.crc32(kind + content) != checksum:
            name = kind.decode('latin-1')
            raise _damaged(path, len(data), f'the checksum of its chunk {name!r} does not fit')
        found.append((kind, content))
    kinds = [kind for kind, _ in found]
    if not kinds or kinds[0] != b'IHDR' or kinds[-1] != b'IEND':
        raise _damaged(path, len(data), 'it ends before its last chunk, or does not begin with its first')
    return found


def _walk(data: bytes, position: int) -> Iterator[tuple[bytes, bytes, int]]:
    while position + 12 <= len(data):
        (length,) = struct.unpack('>I', data[position : position + 4])
        kind, end = data[position + 4 : position + 8], position + 8 + length
        if end + 4 > len(data):
            return
        yield kind, data[position + 8 : end], struct.unpack('>I', data[end : end + 4])[0]
        if kind == b'IEND':  # what follows belongs to somebody else
            return
        position = end + 4


def _palette_indices(data: bytes, chunks: list[tuple[bytes, bytes]], path: str) -> np.ndarray:
    """OpenCV would give the colours; Pillow gives indices, but neither counts rows nor looks whether they are named."""
    width, height, bits, _, _, _, interlaced = struct.unpack('>IIBBBBB', chunks[0][1][:13])
    expected = _stream_length(width, height, bits, bool(interlaced))
    decoder = zlib.decompressobj()
    try:
        stream = decoder.decompress(b''.join(c for kind, c in chunks if kind == b'IDAT'), expected + 1)
    except zlib.error as error:
        raise _damaged(path, len(data), error) from error
    if len(stream) != expected:
        raise _damaged(path, len(data), f'{len(stream)} bytes of pixels in it, expected {expected}: rows are missing')
    try:
        with Image.open(io.BytesIO(data)) as image:
            indices = np.array(image)
    except Exception as error:  # Pillow fails in many ways
        raise _damaged(path, len(data), error) from error
    colours = sum(len(content) for kind, content in chunks if kind == b'PLTE') // 3
    if indices.ndim != 2 or indices.dtype != np.uint8:
        raise _damaged(path, len(data), f'it gave {indices.dtype} of shape {indices.shape} for palette indices')
    if indices.size and indices.max() >= colours:
        raise _damaged(path, len(data), f'it holds the index {indices.max()}, but its palette has {colours} colours')
    return indices


def _stream_length(width: int, height: int, bits: int, interlaced: bool) -> int:
    """Bytes of the decompressed pixels of one channel: every row begins with the number of its filter."""
    passes = _PASSES if interlaced else ((0, 0, 1, 1),)
    total = 0
    for left, top, step_x, step_y in passes:
        columns, rows = -(-(width - left) // step_x), -(-(height - top) // step_y)
        if columns > 0 and rows > 0:
            total += rows * (1 + -(-columns * bits // 8))
    return total


def _decode(data: bytes, path: str) -> np.ndarray:
    try:
        image = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise _damaged(path, len(data), error) from error
    if image is None:
        raise _damaged(path, len(data), 'the decoder gave nothing')
    return image


def _damaged(path: str, size: int, reason) -> ValueError:
    return ValueError(f'{path} cannot be decoded ({size} bytes): {reason}. It is truncated or not an image.')
