"""People's own pictures, of whatever mode and orientation, as the network takes them."""

import io
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from mmengine.fileio import get
from PIL import Image, UnidentifiedImageError

from mlore_mm.datasets.channel_images import read_channels
from mlore_mm.datasets.image_io import check_whole
from mlore_mm.utils.photo_pixels import PhotoError, array_to_bgr, picture_to_bgr

PHOTO_SUFFIXES = ('.jpg', '.jpeg', '.png', '.bmp', '.tif', '.tiff', '.webp', '.gif', '.ppm', '.pgm', '.jp2')
__all__ = ['PHOTO_SUFFIXES', 'PhotoError', 'read_input', 'read_photo']


def read_photo(
    source: str | Path | bytes | np.ndarray | Image.Image,
    name: str | None = None,
    formats: Sequence[str] | None = None,
) -> np.ndarray:
    """A picture as (H, W, 3) uint8 in BGR order, upright.

    The rule is that of data sets (:func:`mlore_mm.datasets.image_io.read_image`), with one difference: the pictures of
    a data set have to agree with their labels, a photo is turned by its EXIF tag. Of an animation the first frame is
    taken.

    Args:
        source: A file, a URL, the bytes of a file, an array, or a Pillow image. Arrays are (H, W), (H, W, 3) BGR or
            (H, W, 4) BGRA as OpenCV reads them, uint8 or uint16.
        name: What messages call it, the path by default.
        formats: Kinds of files that are taken, as Pillow names them, by content; all that Pillow reads by default.

    Raises:
        PhotoError: It is not there, is damaged or not a picture, or has values without a meaning as a photo.
    """
    if isinstance(source, np.ndarray):
        return array_to_bgr(source, name or 'an array')
    name = str(name or (source if isinstance(source, (str, Path)) else 'a picture'))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('error', Image.DecompressionBombWarning)
            if isinstance(source, Image.Image):
                return picture_to_bgr(source, name)
            data = _bytes_of(source, name)
            with Image.open(io.BytesIO(data), formats=formats) as image:
                pixels = picture_to_bgr(image, name)
            check_whole(data, name)
            return pixels
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise PhotoError(f'{name} is too large: {error} Make it smaller first.') from error
    except UnidentifiedImageError as error:
        kinds = f'none of {", ".join(formats)}' if formats else 'of a format that Pillow does not read'
        raise PhotoError(f'{name} is not a picture, or {kinds}.') from error
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        if isinstance(error, PhotoError):
            raise
        raise PhotoError(f'{name} cannot be decoded: {error}. It is truncated or damaged.') from error


def read_input(source, name: str | None = None, channels: int = 3) -> np.ndarray:
    """What a network of so many input channels takes, (H, W, channels): a photo, or by :func:`read_channels`.

    Raises:
        ValueError: As both do; an array of another number of channels.
    """
    if channels == 3:
        return read_photo(source, name)
    if not isinstance(source, np.ndarray):
        return read_channels(str(source), channels)
    if source.ndim != 3 or source.shape[2] != channels:
        raise PhotoError(f'{name or "An array"} has the shape {source.shape}, expected (H, W, {channels}).')
    return source


def _bytes_of(source: str | Path | bytes, name: str) -> bytes:
    if isinstance(source, bytes):
        data = source
    elif '://' in str(source):
        try:
            data = get(str(source))
        except Exception as error:  # each kind of storage has its own
            raise PhotoError(f'{name} cannot be downloaded: {error}.') from error
    else:
        try:
            data = Path(source).read_bytes()
        except OSError as error:
            raise PhotoError(f'Cannot read {name}: {error.strerror or error}.') from error
    if not data:
        raise PhotoError(f'{name} is empty (0 bytes).')
    return data
