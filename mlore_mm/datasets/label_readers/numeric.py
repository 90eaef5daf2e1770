"""Labels that are numbers: depth, vectors, and any plain map."""

from collections.abc import Sequence

import cv2
import numpy as np

from mlore_mm.datasets.label_readers.base import LabelReader, expect_map
from mlore_mm.datasets.label_readers.no_label import NumbersWithoutLabel, say_once, without_label
from mlore_mm.registry import LABEL_READERS
from mlore_mm.utils.npy_files import read_npy
from mlore_mm.utils.png_files import read_png

LARGEST_CODE = 2**16 - 1


@LABEL_READERS.register_module()
class ScaledReader(LabelReader):
    """(Grey value + ``offset``) over ``divisor``; float32, masked where the file says nothing.

    Args:
        divisor: 255 for maps in 0 to 1; 1000 for depth in millimetres, read as metres.
        bits: Bits per pixel that the file has to have, 8 or 16; either where None. A depth map that some program has
            saved with 8 bits is found by this.
        offset: Added to the grey value first; 0.5 where a value stands for the middle of its step.
        ignore: Grey values of pixels without a label, before scaling. By default 65535, the largest 16-bit value, with
            which sensors, renderers and writers that cut too large numbers mark them; unless ``divisor`` says that it
            stands for 1. ``ignore=()`` takes every value as a label.
        limits: Smallest and largest label, after scaling; what is outside counts as without a label.
    """

    def __init__(
        self,
        *args,
        divisor: float = 255,
        bits: int | None = None,
        offset: float = 0,
        ignore: Sequence[float] | None = None,
        limits: Sequence[float | None] | None = None,
        **kwargs,
    ) -> None:
        super().__init__(*args, **kwargs)
        if bits not in (None, 8, 16) or not divisor:
            raise ValueError(f'ScaledReader takes bits 8 or 16 and a divisor, but got bits={bits}, divisor={divisor}.')
        self.divisor, self.bits, self.offset = np.float32(divisor), bits, np.float32(offset)
        self._named = ignore is not None
        if ignore is None:
            ignore = () if divisor == LARGEST_CODE else (LARGEST_CODE,)
        self.no_label = NumbersWithoutLabel(ignore, limits)

    def read(self, path: str) -> np.ndarray:
        codes = expect_map(read_png(path, palette=False), path)
        if self.bits not in (None, 8 * codes.dtype.itemsize):
            raise ValueError(f'{path} has {8 * codes.dtype.itemsize} bits per pixel, expected {self.bits}.')
        if self.divisor == 255 and codes.dtype == np.uint8 and codes.size and codes.max() == 1:
            say_once(
                f'{self}: 0/1',
                f'{path} holds 0 and 1 only, and is divided by 255: nothing in it exceeds 0.004. If 1 stands for yes, '
                f'set divisor=1 of its ScaledReader.',
            )
        return self.no_label.mark(codes, (codes + self.offset) / self.divisor if self.offset else codes / self.divisor)

    def encode(self, values: np.ndarray) -> np.ndarray | None:
        """The inverse of :meth:`read`: (H, W) of grey values, to be saved as a PNG.

        None where they cannot hold it: several channels, what is not finite, or a value that is out of their range or
        would be read as none.
        """
        if values.ndim != 2 or not np.isfinite(values).all():
            return None
        kind = np.uint8 if self.bits == 8 or (self.bits is None and self.divisor <= 255) else np.uint16
        codes = np.rint(values * float(self.divisor) - float(self.offset))
        if codes.min(initial=0) < 0 or codes.max(initial=0) > np.iinfo(kind).max:
            return None
        codes = codes.astype(kind)
        return None if isinstance(self.no_label.mark(codes, values), np.ma.MaskedArray) else codes

    @property
    def named(self) -> bool:
        return self._named

    def code(self, value) -> str:
        return f'{float(value) * float(self.divisor) - float(self.offset):.0f}'


# Colours that stand for no direction: as vectors they are 1.73 or 0.01 long. Files mark pixels without a label so.
NO_DIRECTION = ((0, 0, 0), (255, 255, 255), (127, 127, 127), (128, 128, 128))


@LABEL_READERS.register_module()
class VectorReader(LabelReader):
    """Vectors in the three channels of an 8-bit PNG, value v standing for 2v/255 - 1; (H, W, 3) float32 in -1..1.

    The channels are x, y, z as red, green, blue. Pixels without a label are masked; in a file with an alpha channel,
    alpha 0 marks them, and they are the zero vector.

    Args:
        ignore: Colours (red, green, blue) of pixels without a label. By default black, white and both middle greys,
            whose vectors are far from unit length; ``check_dataset.py`` says whether a data set has such pixels. In a
            file with an alpha channel only colours that are named here count.
            ``ignore=()`` takes every colour as a label.
    """

    def __init__(self, *args, ignore: Sequence[Sequence[int]] | None = None, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self._named = ignore is not None
        colours = NO_DIRECTION if ignore is None else tuple(tuple(colour) for colour in ignore)
        if any(len(colour) != 3 or not all(0 <= value <= 255 for value in colour) for colour in colours):
            raise ValueError(f'`ignore` of VectorReader holds colours such as (255, 255, 255), but got {ignore}.')
        self.colours = colours

    def read(self, path: str) -> np.ndarray:
        pixels = read_png(path, palette=False)
        if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] not in (3, 4):
            raise ValueError(
                f'{path} is {pixels.dtype} of shape {pixels.shape}, expected an 8-bit PNG with 3 channels, or with '
                f'4 where alpha 0 marks pixels without a label.'
            )
        if pixels.shape[2] == 3:
            return without_label(cv2.LUT(pixels, _VECTOR_TABLE), self._marked(pixels))
        colours, labelled = cv2.cvtColor(pixels, cv2.COLOR_RGBA2RGB), cv2.extractChannel(pixels, 3)
        if self._named:
            labelled[self._marked(colours)] = 0
        return cv2.copyTo(cv2.LUT(colours, _VECTOR_TABLE), labelled)  # 0 where alpha is

    @property
    def named(self) -> bool:
        return self._named

    def code(self, value) -> str:
        return str(tuple(round((component + 1) * 127.5) for component in value))

    def _marked(self, pixels: np.ndarray) -> np.ndarray:
        """(H, W) bool: pixels (H, W, 3) of one of the colours."""
        marked = np.zeros(pixels.shape[:2], dtype=np.uint8)
        for colour in self.colours:
            marked |= cv2.inRange(pixels, colour, colour)
        return marked > 0

    @staticmethod
    def encode(vectors: np.ndarray) -> np.ndarray:
        """The inverse of :meth:`read`: (H, W, 4) uint8, to be saved as a PNG. Zero and masked vectors have alpha 0."""
        known = vectors.any(axis=-1) if not np.ma.isMaskedArray(vectors) else vectors.filled(0).any(axis=-1)
        levels = np.rint((np.asarray(vectors) + 1) * 127.5) * known[..., None]
        return np.dstack([levels, known * 255]).astype(np.uint8)


_VECTOR_TABLE = np.arange(256, dtype=np.float32) * 2 / 255 - 1


@LABEL_READERS.register_module()
class NpyReader(LabelReader):
    """An array of numbers, (H, W) or (H, W, C), in a ``.npy`` file; float32. Files with Python objects are refused.

    Args:
        scale: Factor on every number, 0.001 for depth in millimetres; 2 with ``offset=-1`` for vectors in 0..1.
        offset: Added after that.
        ignore: Numbers of the file, before scaling, and the words 'nan', 'inf' and 'negative': pixels without a label,
            masked. For vectors a single component is enough.
        limits: Smallest and largest label, after scaling; what is outside counts as without a label.
    """

    def __init__(
        self,
        *args,
        suffix: str = '.npy',
        scale: float = 1,
        offset: float = 0,
        ignore: Sequence = (),
        limits: Sequence[float | None] | None = None,
        **kwargs,
    ) -> None:
        super().__init__(*args, suffix=suffix, **kwargs)
        self.scale, self.offset = scale, offset
        self.no_label = NumbersWithoutLabel(ignore, limits)

    def read(self, path: str) -> np.ndarray:
        raw = read_npy(path)
        if raw.dtype.kind not in 'fiu':
            raise ValueError(f'{path} holds {raw.dtype}, expected real numbers.')
        if raw.ndim == 3 and raw.shape[2] == 1:
            raw = raw[..., 0]
        values = raw.astype(np.float32, copy=False)
        values = values if self.scale == 1 else values * np.float32(self.scale)
        return self.no_label.mark(raw, values + np.float32(self.offset) if self.offset else values)

    def encode(self, values: np.ndarray) -> np.ndarray | None:
        """The inverse of :meth:`read`: float32 in the unit of the file; None where a number is not finite."""
        if not np.isfinite(values).all():
            return None
        return ((values.astype(np.float64) - self.offset) / self.scale).astype(np.float32)

    def code(self, value) -> str:
        back = (np.asarray(value, dtype=np.float64) - self.offset) / self.scale
        return f'{back:.6g}' if back.ndim == 0 else str(tuple(round(float(x), 4) for x in back))
