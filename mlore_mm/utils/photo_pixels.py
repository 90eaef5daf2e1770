"""One rule for the pixels of photos, whoever reads them: training, evaluation, panels, the inferencer, the page.

Grey and palette pictures become colour, transparent ones are laid on white, CMYK is converted, and 16 bits a channel
are cut to the upper 8.
"""

import numpy as np
from PIL import Image, ImageOps

_SIXTEEN_BITS = ('I', 'I;16', 'I;16L', 'I;16B', 'I;16N')


class PhotoError(ValueError):
    """A picture that cannot be used; the message names it, what was found, and what to do."""


def picture_to_bgr(image: Image.Image, name: str, upright: bool = True) -> np.ndarray:
    """A Pillow image of any mode as (H, W, 3) uint8 BGR; ``upright`` turns it by its EXIF tag.

    Raises:
        PhotoError: Its numbers are none of a photo.
        OSError: It cannot be decoded; Pillow has other kinds of errors besides.
    """
    image.load()
    if upright:
        image = ImageOps.exif_transpose(image)
    if image.mode in _SIXTEEN_BITS:
        return array_to_bgr(_sixteen_bits(image, name), name)
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


def array_to_bgr(array: np.ndarray, name: str) -> np.ndarray:
    """An array (H, W), (H, W, 3) BGR or (H, W, 4) BGRA of 8 or 16 bits as (H, W, 3) uint8 BGR.

    Raises:
        PhotoError: Another shape or type.
    """
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
