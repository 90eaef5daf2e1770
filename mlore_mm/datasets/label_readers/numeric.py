"""Labels that are numbers: depth, vectors, and any plain map."""

import cv2
import numpy as np

from mlore_mm.datasets.label_readers.base import LabelReader, expect_map
from mlore_mm.registry import LABEL_READERS
from mlore_mm.utils.npy_files import read_npy
from mlore_mm.utils.png_files import read_png


@LABEL_READERS.register_module()
class ScaledReader(LabelReader):
    """Grey value over ``divisor``; float32.

    Args:
        divisor: 255 for maps in 0 to 1; 1000 for depth in millimetres, read as metres.
        bits: Bits per pixel that the file has to have, 8 or 16; either where None. A depth map that some program has
            saved with 8 bits is found by this.
    """

    def __init__(self, *args, divisor: float = 255, bits: int | None = None, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.divisor, self.bits = np.float32(divisor), bits

    def read(self, path: str) -> np.ndarray:
        values = expect_map(read_png(path), path)
        if self.bits not in (None, 8 * values.dtype.itemsize):
            raise ValueError(f'{path} has {8 * values.dtype.itemsize} bits per pixel, expected {self.bits}.')
        return values / self.divisor


@LABEL_READERS.register_module()
class VectorReader(LabelReader):
    """Vectors in the three channels of an 8-bit PNG, value v standing for 2v/255 - 1; (H, W, 3) float32 in -1..1.

    The channels are x, y, z as red, green, blue. In a file with an alpha channel, alpha 0 marks a pixel without a
    label, the zero vector.
    """

    def read(self, path: str) -> np.ndarray:
        pixels = read_png(path)
        if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] not in (3, 4):
            raise ValueError(
                f'{path} is {pixels.dtype} of shape {pixels.shape}, expected an 8-bit PNG with 3 channels, or with '
                f'4 where alpha 0 marks pixels without a label.'
            )
        if pixels.shape[2] == 3:
            return cv2.LUT(pixels, _VECTOR_TABLE)
        vectors = cv2.LUT(cv2.cvtColor(pixels, cv2.COLOR_RGBA2RGB), _VECTOR_TABLE)
        vectors[pixels[..., 3] == 0] = 0
        return vectors

    @staticmethod
    def encode(vectors: np.ndarray) -> np.ndarray:
        """The inverse of :meth:`read`: (H, W, 4) uint8, to be saved as a PNG."""
        known = vectors.any(axis=-1)
        levels = np.rint((vectors + 1) * 127.5) * known[..., None]
        return np.dstack([levels, known * 255]).astype(np.uint8)


_VECTOR_TABLE = np.arange(256, dtype=np.float32) * 2 / 255 - 1


@LABEL_READERS.register_module()
class NpyReader(LabelReader):
    """An array of numbers, (H, W) or (H, W, C), in a ``.npy`` file; float32. Files with Python objects are refused.

    Args:
        scale: Factor on every number, 0.001 for depth in millimetres.
    """

    def __init__(self, *args, suffix: str = '.npy', scale: float = 1, **kwargs) -> None:
        super().__init__(*args, suffix=suffix, **kwargs)
        self.scale = scale

    def read(self, path: str) -> np.ndarray:
        values = read_npy(path)
        if values.dtype.kind not in 'fiu':
            raise ValueError(f'{path} holds {values.dtype}, expected real numbers.')
        if values.ndim == 3 and values.shape[2] == 1:
            values = values[..., 0]
        values = values.astype(np.float32, copy=False)
        return values if self.scale == 1 else values * np.float32(self.scale)
