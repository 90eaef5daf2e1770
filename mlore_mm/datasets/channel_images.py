"""Images of more than three channels: RGB with depth or infrared, multispectral ones."""

import io
from importlib.util import find_spec

import cv2
import numpy as np

from mlore_mm.datasets.image_io import decode_image, read_image
from mlore_mm.utils.file_bytes import read_picture
from mlore_mm.utils.npy_files import read_npy


def read_channels(path: str, channels: int) -> np.ndarray:
    """An image (H, W, channels) of a ``.npy`` file, a TIFF, or a PNG with four channels; uint8 or float32.

    Files hold red, green, blue and then the others. The first three come back as BGR, as in every image of the
    pipeline; the data preprocessor turns them again. Nothing is scaled: ``mean`` and ``std`` of the data preprocessor
    are in the numbers of the file. A fourth channel of a PNG is a channel here, not transparency.

    Raises:
        ValueError: The file is missing or damaged, or has another number of channels.
    """
    lower = str(path).lower()
    if lower.endswith('.npy'):
        image = _channels_last(read_npy(path), channels, path)
    elif lower.endswith(('.tif', '.tiff')):
        image = _channels_last(_read_tiff(path), channels, path)
    else:
        data = read_picture(path)
        decode_image(data, path)  # says what is damaged
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION)
        image = np.concatenate([image[..., 2::-1], image[..., 3:]], axis=-1) if image.ndim == 3 else image
        image = _channels_last(image, channels, path)
    if image.dtype != np.uint8:
        image = image.astype(np.float32)
        if not np.isfinite(image).all():
            raise ValueError(f'{path} holds NaN or infinite numbers, expected finite ones.')
    if channels < 3:
        return np.ascontiguousarray(image)
    return np.ascontiguousarray(np.concatenate([image[..., 2::-1], image[..., 3:]], axis=-1))


def picture_of(path: str) -> np.ndarray:
    """What to show of an image, (H, W, 3) uint8 BGR: a photo itself, else its first three channels.

    Bytes stay as they are; other numbers are stretched from the 1st to the 99th percentile.
    """
    lower = str(path).lower()
    if not lower.endswith(('.npy', '.tif', '.tiff')):
        return read_image(path, strict=False)
    image = read_npy(path) if lower.endswith('.npy') else _read_tiff(path)
    image = image[..., None] if image.ndim == 2 else image
    if image.shape[0] < min(image.shape[1:]):
        image = image.transpose(1, 2, 0)
    if image.shape[-1] >= 3:
        image = image[..., 2::-1]
    return first_three(image)


def first_three(image: np.ndarray) -> np.ndarray:
    """(H, W, C) in the order of the pipeline to (H, W, 3) uint8 BGR to look at; see :func:`picture_of`."""
    image = image[..., :3] if image.shape[-1] >= 3 else image[..., [0, 0, 0]]
    if image.dtype != np.uint8:
        low, high = np.percentile(image, (1, 99))
        image = np.clip((image.astype(np.float32) - low) / max(high - low, 1e-12) * 255, 0, 255).astype(np.uint8)
    return np.ascontiguousarray(image)


def _read_tiff(path: str) -> np.ndarray:
    data = read_picture(path)
    if not find_spec('tifffile'):
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
        if image is None or image.ndim == 2 or image.shape[2] > 4:
            raise ValueError(f'{path}: TIFF files of several channels are read by tifffile: pip install tifffile')
        return np.concatenate([image[..., 2::-1], image[..., 3:]], axis=-1)
    import tifffile

    try:
        return np.asarray(tifffile.imread(io.BytesIO(data)))
    except Exception as error:  # each kind of damage has its own
        raise ValueError(f'{path} cannot be decoded ({len(data)} bytes): {error}') from error


def _channels_last(image: np.ndarray, channels: int, path: str) -> np.ndarray:
    if image.ndim == 2:
        image = image[..., None]
    if image.ndim == 3 and image.shape[-1] != channels and image.shape[0] == channels:
        image = image.transpose(1, 2, 0)
    if image.ndim != 3 or image.shape[-1] != channels or image.dtype.kind not in 'uif':
        raise ValueError(
            f'{path} holds {image.dtype} numbers of the shape {image.shape}, expected an image (H, W, {channels}): '
            f'`channels` of LoadMultiTaskImage is {channels}.'
        )
    return image
