"""Whole files as bytes: regular files only, and none that claims a picture too large to decode."""

import io
import os
import stat
import struct
import warnings
from collections.abc import Callable

from PIL import Image

PNG_SIGNATURE = b'\x89PNG\r\n\x1a\n'
JPEG_START = b'\xff\xd8\xff'
# 268 million; a file of some kilobytes can claim to have more and fill the memory. Long and thin images are no problem.
MAX_PIXELS = 2**28


def read_bytes(path: str) -> bytes:
    """The content of a regular file.

    Raises:
        ValueError: It is missing, empty, a folder, or a pipe or device, which could be read for ever.
    """
    path = os.fspath(path)
    try:
        # without waiting: to open a pipe that nobody writes into blocks
        descriptor = os.open(path, os.O_RDONLY | getattr(os, 'O_NONBLOCK', 0) | getattr(os, 'O_BINARY', 0))
        with open(descriptor, 'rb') as file:
            mode = os.fstat(descriptor).st_mode
            if not stat.S_ISREG(mode):
                raise ValueError(f'{path} is {_kind(mode)}, expected a regular file.')
            data = file.read()
    except OSError as error:
        raise ValueError(f'Cannot read {path}: {error.strerror or error}.') from error
    if not data:
        raise ValueError(f'{path} is empty (0 bytes). Copy or download it again.')
    return data


def _kind(mode: int) -> str:
    kinds: tuple[tuple[Callable[[int], bool], str], ...] = (
        (stat.S_ISDIR, 'a folder'),
        (stat.S_ISFIFO, 'a pipe'),
        (stat.S_ISSOCK, 'a socket'),
    )
    return next((name for test, name in kinds if test(mode)), 'a device')


def read_picture(path: str) -> bytes:
    """The bytes of a picture in any format, whose header claims no more than ``MAX_PIXELS``.

    Raises:
        ValueError: See :func:`read_bytes`; or the header cannot be read, or claims more.
    """
    data = read_bytes(path)
    check_claimed_size(data, path)
    return data


def check_claimed_size(data: bytes, path: str) -> None:
    """Raise a ValueError that names ``path`` where the header claims more than ``MAX_PIXELS`` pixels."""
    width, height = claimed_size(data, path)
    if width * height > MAX_PIXELS:
        raise ValueError(f'{path} claims {width} x {height} pixels, more than the {MAX_PIXELS} that are decoded.')


def claimed_size(data: bytes, path: str) -> tuple[int, int]:
    """(width, height) from the header, before anything is decoded; (0, 0) where the format is not known."""
    if data.startswith(PNG_SIGNATURE) and len(data) >= 24:
        return struct.unpack('>II', data[16:24])
    if data.startswith(JPEG_START):
        return _jpeg_size(data)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            with Image.open(io.BytesIO(data)) as image:
                return image.size
    except Image.DecompressionBombError as error:
        raise ValueError(f'{path} claims too many pixels: {error}.') from error
    except Exception:  # not a picture, or one that Pillow does not know; the decoder says so
        return 0, 0


def _jpeg_size(data: bytes) -> tuple[int, int]:
    """The largest frame of all frame headers, as a second one would count for some decoders."""
    position, found = 2, (0, 0)
    while position + 9 <= len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        if marker == 0xFF:  # a fill byte
            position += 1
            continue
        if marker in (0xDA, 0xD9):  # the pixels, or the end
            break
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack('>HH', data[position + 5 : position + 9])
            found = max(found, (width, height), key=lambda size: size[0] * size[1])
        bare = marker == 0x01 or 0xD0 <= marker <= 0xD8
        position += 2 if bare else 2 + struct.unpack('>H', data[position + 2 : position + 4])[0]
    return found
