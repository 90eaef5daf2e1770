"""Damaged files for every reader of the package, and what becomes of them; not a test by itself.

``.dev_scripts/fuzz_files.py`` runs it at length.
"""

import json
import shutil
import struct
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import scipy.io
from PIL import Image

from mlore_mm.apis.inference.photos import read_photo
from mlore_mm.datasets.channel_images import read_channels
from mlore_mm.datasets.image_io import read_image
from mlore_mm.datasets.label_readers import (
    ChannelsReader,
    ContextEdgeReader,
    ContextNormalsReader,
    DisparityReader,
    HumanPartsReader,
    IdMapReader,
    LabelBoundaryReader,
    MaskReader,
    NpyReader,
    RangeReader,
    ScaledReader,
    VectorReader,
)
from mlore_mm.evaluation.functional.boundary import read_labels, read_prediction
from mlore_mm.utils import mat_files
from mlore_mm.utils.feature_store import FeatureStore
from mlore_mm.utils.file_bytes import PNG_SIGNATURE
from tests.test_datasets.archives import annotation, write_image, write_mat, write_npy

SIZE = (24, 32)
# Passes of an interlaced PNG: first column, first row, steps of both.
ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
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


def _interlaced(path: Path) -> None:
    """A palette file in the seven passes of Adam7, which no encoder here writes: rows of filter 0 by hand."""
    pixels, file = smooth(20), PNG_SIGNATURE
    rows = [pixels[y::dy, x::dx] for x, y, dx, dy in ADAM7]
    stream = b''.join(b'\0' + row.tobytes() for part in rows if part.size for row in part)
    header = struct.pack('>IIBBBBB', SIZE[1], SIZE[0], 8, 3, 0, 0, 1)
    data = zlib.compress(stream)
    for kind, content in ((b'IHDR', header), (b'PLTE', bytes(range(63))), (b'IDAT', data), (b'IEND', b'')):
        file += struct.pack('>I', len(content)) + kind + content + struct.pack('>I', zlib.crc32(kind + content))
    path.write_bytes(file)


def _disparity(path: Path) -> None:
    write_image(path.with_suffix('.png'), smooth(60000, np.uint16))
    camera = dict(intrinsic=dict(fx=2262.5, fy=2265.3, u0=1096.9, v0=513.1), extrinsic=dict(baseline=0.209313))
    path.with_suffix('.json').write_text(json.dumps(camera))


def _read_disparity(path: str) -> np.ndarray:
    return DisparityReader('').read(str(Path(path).with_suffix('.png')), str(Path(path).with_suffix('.json')))


def _normals(path: Path) -> None:
    write_image(path.with_suffix('.png'), smooth(255, channels=3))
    write_mat(path.with_suffix('.mat'), LabelMap=smooth(400, np.uint16))


def _read_normals(path: str) -> np.ndarray:
    reader = ContextNormalsReader('', context_dir='')
    return reader.read(str(Path(path).with_suffix('.png')), str(Path(path).with_suffix('.mat')))


def _store(path: Path) -> None:
    shutil.rmtree(path.parent)
    path.parent.mkdir()
    store = FeatureStore.create(path.parent, dict(size=[4, 5]), ['a'], 1)
    store.append({(0, 0): smooth(255).tobytes()})


def _read_store(path: str) -> np.ndarray:
    return np.array(FeatureStore(Path(path).parent).read(0, 0))


CASES = {
    'IdMapReader.png': Case(lambda p: write_image(p, smooth(20)), IdMapReader('').read, True),
    'IdMapReader-palette.png': Case(palette, IdMapReader('').read, True),
    'IdMapReader-palette4.png': Case(partial(palette, bits=4), IdMapReader('').read, True),
    'LabelBoundaryReader.png': Case(lambda p: write_image(p, smooth(20)), LabelBoundaryReader('').read, True),
    'LabelBoundaryReader-palette1.png': Case(partial(palette, bits=1), LabelBoundaryReader('').read, True),
    'MaskReader.png': Case(lambda p: write_image(p, smooth(1) * 255), MaskReader('').read, True),
    'IdMapReader-interlaced.png': Case(_interlaced, IdMapReader('').read, True),
    'ScaledReader.png': Case(lambda p: write_image(p, smooth(9000, np.uint16)), ScaledReader('').read, True),
    'VectorReader.png': Case(lambda p: write_image(p, smooth(255, channels=3)), VectorReader('').read, True),
    'NpyReader.npy': Case(lambda p: write_npy(p, smooth(9, np.float32)), NpyReader('').read),
    'ContextEdgeReader.mat': Case(lambda p: write_mat(p, LabelMap=smooth(400, np.uint16)), ContextEdgeReader('').read),
    'ContextEdgeReader-compressed.mat': Case(_compressed, ContextEdgeReader('').read, True),
    'HumanPartsReader.mat': Case(_parts, HumanPartsReader('').read),
    'RangeReader.png': Case(lambda p: write_image(p, smooth(255)), RangeReader('', blur=1).read, True),
    'ChannelsReader.png': Case(
        lambda p: write_image(p, smooth(255, channels=3)), ChannelsReader('', mean=[1, 2, 3], std=[4, 5, 6]).read, True
    ),
    'DisparityReader.png': Case(_disparity, _read_disparity, True),
    'DisparityReader.json': Case(_disparity, _read_disparity),
    'ContextNormalsReader.png': Case(_normals, _read_normals, True),
    'ContextNormalsReader.mat': Case(_normals, _read_normals),
    'FeatureStore/records.bin': Case(_store, _read_store, True),
    'FeatureStore/index.bin': Case(_store, _read_store, True),
    'FeatureStore/store.json': Case(_store, _read_store, True),
    'read_prediction.png': Case(lambda p: write_image(p, smooth(255)), read_prediction, True),
    'read_labels.png': Case(lambda p: write_image(p, smooth(9)), read_labels, True),
    'read_labels.mat': Case(lambda p: write_mat(p, LabelMap=smooth(400, np.uint16)), read_labels),
    'read_image.png': Case(photo, read_image, True),
    'read_image.jpg': Case(photo, read_image),
    'read_image-progressive.jpg': Case(lambda p: photo(p, cv2.IMWRITE_JPEG_PROGRESSIVE, 1), read_image),
    'read_image.webp': Case(photo, read_image),
    'read_image.jp2': Case(lambda p: by_pillow(p, 'JPEG2000'), read_image),
    'read_image.tif': Case(lambda p: by_pillow(p, 'TIFF', compression='tiff_lzw'), read_image),
    'read_image.bmp': Case(photo, read_image),
    'read_image.ppm': Case(photo, read_image),
    'read_image.gif': Case(lambda p: by_pillow(p, 'GIF'), read_image),
    'read_photo.png': Case(photo, read_photo, True),
    'read_photo.jpg': Case(photo, read_photo),
    'read_photo.webp': Case(photo, read_photo),
    'read_photo.jp2': Case(lambda p: by_pillow(p, 'JPEG2000'), read_photo),
    'read_photo.tif': Case(lambda p: by_pillow(p, 'TIFF', compression='tiff_lzw'), read_photo),
    'read_photo.bmp': Case(photo, read_photo),
    'read_photo.ppm': Case(photo, read_photo),
    'read_photo.gif': Case(lambda p: by_pillow(p, 'GIF'), read_photo),
    'read_channels.png': Case(photo, partial(read_channels, channels=3), True),
    'read_channels.tif': Case(lambda p: by_pillow(p, 'TIFF'), partial(read_channels, channels=3)),
    'read_channels.npy': Case(lambda p: write_npy(p, smooth(255, channels=5)), partial(read_channels, channels=5)),
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


def outcomes(name: str, folder: Path, mutations: int, seed: int = 0, unnamed: list | None = None) -> Counter:
    """How many mutated files were 'named', read as 'equal', read to 'other pixels', or 'unnamed', which are kept."""
    case, counts, rng = CASES[name], Counter(), np.random.default_rng(seed)
    path, called = folder / name, Path(name).parts[0]  # a store is named by its folder
    path.parent.mkdir(exist_ok=True)
    case.write(path)
    data = path.read_bytes()
    expected = case.read(str(path))
    for _ in range(mutations):
        path.write_bytes(mutate(data, rng))
        mat_files._read_label_map.cache_clear()  # files that are written fast have one time
        try:
            found = case.read(str(path))
        except Exception as error:
            named = isinstance(error, ValueError) and called in str(error)
            counts['named' if named else 'unnamed'] += 1
            if not named and unnamed is not None:
                unnamed.append(error)
        else:
            counts['equal' if np.array_equal(found, expected) else 'other pixels'] += 1
    return counts
