"""Damaged files for every reader of the package, and what becomes of them; not a test by itself.

``.dev_scripts/fuzz_files.py`` runs it at length.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import scipy.io
from PIL import Image

from mlore_mm.datasets.image_io import read_image
from mlore_mm.datasets.label_readers import (
    ContextEdgeReader,
    HumanPartsReader,
    IdMapReader,
    LabelBoundaryReader,
    MaskReader,
    NpyReader,
    ScaledReader,
    VectorReader,
)
from mlore_mm.evaluation.functional.boundary import read_labels, read_prediction
from tests.test_datasets.archives import annotation, write_image, write_mat, write_npy

SIZE = (24, 32)
MUTATIONS = 300


@dataclass(frozen=True)
class Case:
    """A kind of file, what reads it, and whether the format has a checksum, so that no damage goes unnoticed."""

    write: Callable[[Path], object]
    read: Callable[[str], np.ndarray]
    checksum: bool = False


def smooth(high: int, dtype=np.uint8, channels: int = 1) -> np.ndarray:
    """Something like a photo or a map: structure and noise, 0 to ``high``."""
    rng = np.random.default_rng(0)
    shape = SIZE if channels == 1 else (*SIZE, channels)
    ramp = np.linspace(0, 1, SIZE[1])[None, :, None] if channels > 1 else np.linspace(0, 1, SIZE[1])[None]
    return ((0.8 * ramp + 0.2 * rng.uniform(size=shape)) * high).astype(dtype)


def palette(path: Path, bits: int = 8) -> None:
    image = Image.fromarray(smooth(2**bits - 1))
    image.putpalette(list(range(256)) * 3)
    image.save(path, bits=bits)


def photo(path: Path, *options: int) -> None:
    path.write_bytes(cv2.imencode(path.suffix, smooth(255, channels=3), list(options))[1].tobytes())


def by_pillow(path: Path, kind: str, **options) -> None:
    Image.fromarray(smooth(255, channels=3)).save(path, kind, **options)


def _compressed(path: Path) -> None:
    scipy.io.savemat(path, dict(LabelMap=smooth(400, np.uint16)), do_compression=True)


def _parts(path: Path) -> None:
    mask = smooth(1)
    write_mat(path, anno=annotation((15, mask, [('head', mask)])))


CASES = {
    'IdMapReader.png': Case(lambda p: write_image(p, smooth(20)), IdMapReader('').read, True),
    'IdMapReader-palette.png': Case(palette, IdMapReader('').read, True),
    'IdMapReader-palette4.png': Case(partial(palette, bits=4), IdMapReader('').read, True),
    'LabelBoundaryReader.png': Case(lambda p: write_image(p, smooth(20)), LabelBoundaryReader('').read, True),
    'LabelBoundaryReader-palette1.png': Case(partial(palette, bits=1), LabelBoundaryReader('').read, True),
    'MaskReader.png': Case(lambda p: write_image(p, smooth(1) * 255), MaskReader('').read, True),
    'ScaledReader.png': Case(lambda p: write_image(p, smooth(9000, np.uint16)), ScaledReader('').read, True),
    'VectorReader.png': Case(lambda p: write_image(p, smooth(255, channels=3)), VectorReader('').read, True),
    'NpyReader.npy': Case(lambda p: write_npy(p, smooth(9, np.float32)), NpyReader('').read),
    'ContextEdgeReader.mat': Case(lambda p: write_mat(p, LabelMap=smooth(400, np.uint16)), ContextEdgeReader('').read),
    'ContextEdgeReader-compressed.mat': Case(_compressed, ContextEdgeReader('').read),
    'HumanPartsReader.mat': Case(_parts, HumanPartsReader('').read),
    'read_prediction.png': Case(lambda p: write_image(p, smooth(255)), read_prediction, True),
    'read_labels.png': Case(lambda p: write_image(p, smooth(9)), read_labels, True),
    'read_labels.mat': Case(lambda p: write_mat(p, LabelMap=smooth(400, np.uint16)), read_labels),
    'read_image.png': Case(photo, read_image, True),
    'read_image.jpg': Case(photo, read_image),
    'read_image-progressive.jpg': Case(lambda p: photo(p, cv2.IMWRITE_JPEG_PROGRESSIVE, 1), read_image),
    'read_image.webp': Case(photo, read_image),
    'read_image.jp2': Case(lambda p: by_pillow(p, 'JPEG2000'), read_image),
    'read_image.tif': Case(lambda p: by_pillow(p, 'TIFF', compression='tiff_lzw'), read_image),
}


def mutate(data: bytes, rng: np.random.Generator) -> bytes:
    """One damage: a flipped bit, a lost block, a cut, bytes too many or too few, a piece of another place."""
    data, size = bytearray(data), len(data)
    place, length = int(rng.integers(size)), int(rng.integers(1, max(2, size // 4)))
    kind = rng.integers(8)
    if kind == 0:
        data[place] ^= 1 << int(rng.integers(8))
    elif kind == 1:
        data[place] = int(rng.integers(256))
    elif kind == 2:
        data[place : place + length] = bytes(len(data[place : place + length]))
    elif kind == 3:
        del data[place:]
    elif kind == 4:
        del data[place : place + length]
    elif kind == 5:
        data[place:place] = rng.bytes(int(rng.integers(1, 9)))
    elif kind == 6:
        data[place : place + length] = rng.bytes(length)
    else:
        other = int(rng.integers(size))
        data[place : place + length] = data[other : other + length]
    return bytes(data)


def outcomes(name: str, folder: Path, mutations: int, seed: int = 0) -> Counter:
    """How many mutated files were 'named', read as 'equal', read to 'other pixels', or 'unnamed' (a foreign error)."""
    case, counts, rng = CASES[name], Counter(), np.random.default_rng(seed)
    path = folder / name
    case.write(path)
    data = path.read_bytes()
    expected = case.read(str(path))
    for _ in range(mutations):
        path.write_bytes(mutate(data, rng))
        try:
            found = case.read(str(path))
        except ValueError as error:
            counts['named' if name in str(error) else 'unnamed'] += 1
        except Exception:
            counts['unnamed'] += 1
        else:
            counts['equal' if np.array_equal(found, expected) else 'other pixels'] += 1
    return counts
