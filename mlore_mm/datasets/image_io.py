"""Read images and PNG maps completely or not at all.

A decoder that fills the missing half of a truncated JPEG with grey gives a wrong number instead of an error, and
OpenCV's releases differ in which damage they report. So whole files are read first, their end is checked, and anything
that does not decode is a ``ValueError`` that names the file.
"""

import io
import os
import struct

import cv2
import numpy as np
from PIL import Image

_PNG_SIGNATURE = b'\x89PNG\r\n\x1a\n'
_PNG_END = b'IEND\xaeB`\x82'
_JPEG_START, _JPEG_END = b'\xff\xd8\xff', b'\xff\xd9'
_PNG_BIT_DEPTH, _PNG_COLOUR_TYPE = 24, 25  # byte offsets in the IHDR chunk
_GREY, _PALETTE = 0, 3
# 268 million; a PNG of some kilobytes can claim to have more and fill the memory. Long and thin images are no problem.
MAX_PIXELS = 2**28


def read_image(path: str) -> np.ndarray:
    """A photo as (H, W, 3) uint8 in BGR order.

    The pixels come as they are stored: an EXIF rotation is not applied, because labels are stored for these pixels.

    Raises:
        ValueError: The file is missing, truncated or not an image.
    """
    return _decode(_read_bytes(path), path, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)


def read_png(path: str) -> np.ndarray:
    """A label PNG as stored: (H, W) or (H, W, C) in RGB(A) order, uint8 or uint16; palette files give palette indices.

    Raises:
        ValueError: The file is missing, truncated, not a PNG, or greyscale with fewer than 8 bits, which decoders
            stretch to 0..255 and so turn ids into other ids.
    """
    data = _read_bytes(path)
    if not data.startswith(_PNG_SIGNATURE) or len(data) < 33:
        raise ValueError(f'{path} is not a PNG file ({len(data)} bytes). Labels have to be stored without loss.')
    colour_type, bit_depth = data[_PNG_COLOUR_TYPE], data[_PNG_BIT_DEPTH]
    if colour_type == _GREY and bit_depth < 8:
        raise ValueError(f'{path} is a greyscale PNG with {bit_depth} bit(s) a pixel, expected 8 or 16. Save it again.')
    if colour_type == _PALETTE:  # OpenCV would give the colours
        return _decode_with_pillow(data, path)
    array = _decode(data, path, cv2.IMREAD_UNCHANGED)
    if array.ndim == 3:
        code = {3: cv2.COLOR_BGR2RGB, 4: cv2.COLOR_BGRA2RGBA}[array.shape[2]]
        array = cv2.cvtColor(array, code)
    return array


def _read_bytes(path: str) -> bytes:
    try:
        with open(path, 'rb') as file:
            data = file.read()
    except OSError as error:
        raise ValueError(f'Cannot read {path}: {error.strerror or error}.') from error
    if not data:
        raise ValueError(f'{path} is empty (0 bytes). Copy or download it again.')
    if data.startswith(_PNG_SIGNATURE) and len(data) >= 24:
        width, height = struct.unpack('>II', data[16:24])
        if width * height > MAX_PIXELS:
            raise ValueError(f'{path} claims {width} x {height} pixels, more than the {MAX_PIXELS} that are decoded.')
    return data


def _decode(data: bytes, path: str, flags: int) -> np.ndarray:
    if not _is_whole(data):
        _decode_with_pillow(data, path)  # raises where the file really is cut short
    try:
        image = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), flags)
    except cv2.error as error:
        raise _unreadable(path, len(data), error) from error
    if image is None:
        raise _unreadable(path, len(data), 'the decoder gave nothing')
    return image


def _is_whole(data: bytes) -> bool:
    """Whether the end mark of the format is where it belongs; other formats count as whole."""
    if data.startswith(_JPEG_START):
        return data.endswith(_JPEG_END)
    if data.startswith(_PNG_SIGNATURE):
        return data.endswith(_PNG_END)
    return True


def _decode_with_pillow(data: bytes, path: str) -> np.ndarray:
    try:
        with Image.open(io.BytesIO(data)) as image:
            return np.asarray(image)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise _unreadable(path, len(data), error) from error


def _unreadable(path: str, size: int, reason) -> ValueError:
    name = os.path.basename(path)
    return ValueError(f'{path} cannot be decoded ({size} bytes): {reason}. {name} is truncated or not an image.')
