"""Read photos completely or not at all; label maps are read by ``mlore_mm.utils.png_files``.

A decoder that fills the missing half of a truncated JPEG with grey gives a wrong number instead of an error, and
OpenCV's releases differ in which damage they report. So whole files are read first, their end is checked, what the
decoder says about damage is an error, and anything that does not decode is a ``ValueError`` that names the file.
"""

import io
import os
import warnings

import cv2
import numpy as np
from PIL import Image

from mlore_mm.utils.decoder_messages import call_and_listen
from mlore_mm.utils.file_bytes import JPEG_START, MAX_PIXELS, PNG_SIGNATURE, read_picture
from mlore_mm.utils.photo_pixels import PhotoError, picture_to_bgr
from mlore_mm.utils.png_files import check_chunks, read_png

__all__ = ['MAX_PIXELS', 'decode_image', 'read_image', 'read_png']
_said: set[str] = set()  # what was warned about in this process
_ORIENTATION = 0x0112  # EXIF
_PNG_END = b'IEND\xaeB`\x82'
_JPEG_END = b'\xff\xd9'


def read_image(path: str, strict: bool = True) -> np.ndarray:
    """A photo as (H, W, 3) uint8 in BGR order, by the rule of :mod:`mlore_mm.utils.photo_pixels`.

    The pixels come as they are stored: an EXIF rotation is not applied, because labels are stored for these pixels. The
    first photo with such a tag is warned about.

    Args:
        strict: What the decoder reports as corrupt is an error. False takes what it makes of such a file, grey areas
            and shifted blocks; for archives of which it is known that their files only have a few bytes too many.

    Raises:
        ValueError: The file is missing, truncated, damaged, no regular file or not an image, or claims to be huge.
    """
    return decode_image(read_picture(path), path, strict)


def decode_image(data: bytes, path: str, strict: bool = True) -> np.ndarray:
    """As :func:`read_image`, of a file's bytes; ``path`` is what messages call it."""
    image = _decode(data, path, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION, strict)
    try:
        with Image.open(io.BytesIO(data)) as picture:
            if picture.getexif().get(_ORIENTATION, 1) != 1:
                _warn_of_orientation(path)
            if picture.has_transparency_data or picture.mode == 'CMYK':  # OpenCV would drop and convert otherwise
                return picture_to_bgr(picture, path, upright=False)
    except PhotoError:
        raise
    except Exception:  # a format, or damage in a header field, that matters to Pillow only
        return image
    return image


def check_whole(data: bytes, path: str) -> None:
    """See that a file's bytes are all there as they were written, as far as the format tells; for who decodes them by
    Pillow, which says nothing of the damage that it fills.

    Raises:
        ValueError: They are not.
    """
    if data.startswith(PNG_SIGNATURE):
        check_chunks(data, path)
    elif data.startswith(JPEG_START):
        _, message = call_and_listen(cv2.imdecode, np.frombuffer(data, np.uint8), cv2.IMREAD_REDUCED_GRAYSCALE_8)
        if message:
            raise ValueError(f'{path} is damaged ({len(data)} bytes): the decoder says "{message}"')


def exif_orientation(path: str) -> int:
    """How a viewer would turn the photo, 1 to 8 as EXIF counts; 1, upright, where the file does not say."""
    try:
        with Image.open(path) as picture:
            return int(picture.getexif().get(_ORIENTATION, 1))
    except Exception:  # damage in a header field; whether the photo can be read is asked elsewhere
        return 1


def _warn_of_orientation(path: str) -> None:
    if 'orientation' in _said:
        return
    _said.add('orientation')
    warnings.warn(
        f'{path} has an EXIF tag that asks to be turned. Photos of data sets are not turned, since labels are stored '
        f'for the pixels as they lie in the file; others of this set may have such a tag too.',
        stacklevel=3,
    )


def _decode(data: bytes, path: str, flags: int, strict: bool) -> np.ndarray:
    if data.startswith(PNG_SIGNATURE):
        check_chunks(data, path)
    if data.startswith(b'RIFF') and int.from_bytes(data[4:8], 'little') + 8 != len(data) + len(data) % 2:
        raise _unreadable(path, len(data), 'its length is not the one that its header says')
    if not _is_whole(data):
        _decode_with_pillow(data, path)  # raises where the file really is cut short
    try:
        image, message = call_and_listen(cv2.imdecode, np.frombuffer(data, dtype=np.uint8), flags)
    except cv2.error as error:
        raise _unreadable(path, len(data), error) from error
    if image is None:
        raise _unreadable(path, len(data), message or 'the decoder gave nothing')
    if message and strict:
        raise ValueError(
            f'{path} is damaged ({len(data)} bytes): the decoder says "{message}". Copy or download it again; '
            f"dict(type='LoadMultiTaskImage', strict=False) in the pipelines takes such files as they are."
        )
    return image


def _is_whole(data: bytes) -> bool:
    """Whether the end mark of the format is where it belongs; other formats count as whole."""
    if data.startswith(JPEG_START):
        return data.endswith(_JPEG_END)
    if data.startswith(PNG_SIGNATURE):
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
