"""People's own pictures, of whatever mode and orientation, as the network takes them."""

import io
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from mmengine.fileio import get
from PIL import Image, ImageOps, UnidentifiedImageError

PHOTO_SUFFIXES = ('.jpg', '.jpeg', '.png', '.bmp', '.tif', '.tiff', '.webp', '.gif', '.ppm', '.pgm', '.jp2')
_SIXTEEN_BITS = ('I', 'I;16', 'I;16L', 'I;16B', 'I;16N')


class PhotoError(ValueError):
    """A picture that cannot be used; the message names it, what was found, and what to do."""


def read_photo(
    source: str | Path | bytes | np.ndarray | Image.Image,
    name: str | None = None,
    formats: Sequence[str] | None = None,
) -> np.ndarray:
    """A picture as (H, W, 3) uint8 in BGR order, upright.

    Unlike the pictures of a data set, which have to agree with their labels, a photo is turned by its EXIF tag. Grey
    and palette pictures become colour, transparent ones are laid on white, CMYK is converted, 16 bits a channel are
    cut to the upper 8, and of an animation the first frame is taken.

    Args:
        source: A file, a URL, the bytes of a file, an array, or a Pillow image. Arrays are (H, W), (H, W, 3) BGR or
            (H, W, 4) BGRA as OpenCV reads them, uint8 or uint16.
        name: What messages call it, the path by default.
        formats: Kinds of files that are taken, as Pillow names them, by content; all that Pillow reads by default.

    Raises:
        PhotoError: It is not there, is damaged or not a picture, or has values without a meaning as a photo.
    """
    if isinstance(source, np.ndarray):
        return _from_array(source, name or 'an array')
    name = str(name or (source if isinstance(source, (str, Path)) else 'a picture'))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('error', Image.DecompressionBombWarning)
            if isinstance(source, Image.Image):
                return _to_bgr(source, name)
            with Image.open(io.BytesIO(_bytes_of(source, name)), formats=formats) as image:
                return _to_bgr(image, name)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise PhotoError(f'{name} is too large: {error} Make it smaller first.') from error
    except UnidentifiedImageError as error:
        kinds = f'none of {", ".join(formats)}' if formats else 'of a format that Pillow does not read'
        raise PhotoError(f'{name} is not a picture, or {kinds}.') from error
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        if isinstance(error, PhotoError):
            raise
        raise PhotoError(f'{name} cannot be decoded: {error}. It is truncated or damaged.') from error


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


def _to_bgr(image: Image.Image, name: str) -> np.ndarray:
    image.load()
    image = ImageOps.exif_transpose(image)
    if image.mode in _SIXTEEN_BITS:
        return _from_array(_sixteen_bits(image, name), name)
    if image.mode == 'F':
        raise PhotoError(f'{name} holds floating-point numbers, not a photo. Save it with 8 or 16 bits a channel.')
    if image.has_transparency_data:
        rgba = image.convert('RGBA')
        image = Image.alpha_composite(Image.new('RGBA', rgba.size, 'white'), rgba)
    return np.ascontiguousarray(np.asarray(image.convert('RGB'))[..., ::-1])


def _sixteen_bits(image: Image.Image, name: str) -> np.ndarray:
    values = np.asarray(image)
    if values.min() < 0 or values.max() > 65535:
        raise PhotoError(f'{name} holds numbers from {values.min()} to {values.max()}, but a photo has 8 or 16 bits.')
    return values.astype(np.uint16)


def _from_array(array: np.ndarray, name: str) -> np.ndarray:
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    if array.ndim not in (2, 3) or 0 in array.shape or (array.ndim == 3 and array.shape[2] not in (3, 4)):
        raise PhotoError(
            f'{name} has the shape {array.shape}, expected (H, W), (H, W, 3) in BGR order or (H, W, 4) in BGRA order.'
        )
    if array.dtype not in (np.uint8, np.uint16):
        raise PhotoError(f'{name} holds {array.dtype} numbers, expected uint8 (0..255) or uint16 (0..65535).')
    if array.dtype == np.uint16:
        array = (array >> 8).astype(np.uint8)
    if array.ndim == 2:
        return np.repeat(array[..., None], 3, axis=2)
    if array.shape[2] == 4:
        alpha = array[..., 3:].astype(np.float32) / 255
        array = (array[..., :3] * alpha + 255 * (1 - alpha) + 0.5).astype(np.uint8)
    return np.ascontiguousarray(array)
