"""Archives with invented content in the real layouts and at the real image sizes, to measure reading speed on."""

from pathlib import Path

import cv2
import numpy as np
import scipy.io

PASCAL_SIZE, NYUD_SIZE = (375, 500), (425, 560)
_PARTS = ('head', 'hair', 'torso', 'neck', 'luarm', 'llarm', 'ruarm', 'rlarm', 'luleg', 'llleg', 'ruleg', 'rlleg')


def write_nyud(root: Path, count: int, seed: int = 0) -> None:
    """``count`` samples of NYUDv2."""
    rng, ids = np.random.default_rng(seed), [f'{index:04d}' for index in range(count)]
    for name in ids:
        regions = _regions(rng, NYUD_SIZE, 40)
        _png(root / 'images' / f'{name}.png', _photo(rng, regions))
        _png(root / 'segmentation' / f'{name}.png', rng.permutation(41).astype(np.uint8)[regions])
        _png(root / 'normals' / f'{name}.png', _normals(rng, regions))
        _png(root / 'edge' / f'{name}.png', np.uint8(255) * _edges(regions))
        (root / 'depth').mkdir(exist_ok=True)
        np.save(root / 'depth' / f'{name}.npy', rng.uniform(0.5, 9, 41).astype(np.float32)[regions])
    _split(root / 'gt_sets' / 'train.txt', ids)


def write_pascal(root: Path, count: int, seed: int = 0) -> None:
    """``count`` samples of PASCALContext, half of them with two people."""
    rng, ids = np.random.default_rng(seed), [f'2008_{index:06d}' for index in range(count)]
    for index, name in enumerate(ids):
        regions = _regions(rng, PASCAL_SIZE, 30)
        _write(root / 'JPEGImages' / f'{name}.jpg', cv2.imencode('.jpg', _photo(rng, regions))[1].tobytes())
        _png(root / 'semseg' / 'VOC12' / f'{name}.png', rng.integers(0, 21, 30).astype(np.uint8)[regions])
        _png(root / 'sal_distill' / f'{name}.png', cv2.blur(np.uint8(255) * (regions < 4), (9, 9)))
        _png(root / 'normals_distill' / f'{name}.png', _normals(rng, regions))
        _mat(root / 'pascal-context/trainval' / f'{name}.mat', LabelMap=rng.permutation(459).astype(np.uint16)[regions])
        _mat(root / 'human_parts' / f'{name}.mat', anno=_annotation(regions, people=2 * (index % 2)))
    _split(root / 'ImageSets/Context/train.txt', ids)


def _regions(rng: np.random.Generator, size: tuple[int, int], count: int) -> np.ndarray:
    """Cells around random points, with wavy borders; (H, W) int."""
    y, x = np.mgrid[: size[0], : size[1]].astype(np.float32)
    x, y = x + 8 * np.sin(y / 17), y + 8 * np.sin(x / 23)
    points = rng.random((count, 2), dtype=np.float32) * np.float32(size)
    return np.argmin([(y - b) ** 2 + (x - a) ** 2 for b, a in points], axis=0)


def _photo(rng: np.random.Generator, regions: np.ndarray) -> np.ndarray:
    """A colour per region with soft texture, which compresses about as a photo does."""
    colours = rng.integers(40, 216, (regions.max() + 1, 3))[regions]
    texture = cv2.GaussianBlur(rng.normal(0, 60, regions.shape), (0, 0), 1.5)[..., None]
    return np.clip(colours + texture, 0, 255).astype(np.uint8)


def _normals(rng: np.random.Generator, regions: np.ndarray) -> np.ndarray:
    """A direction per region that bends a little, as a network predicts it."""
    bend = cv2.GaussianBlur(rng.normal(0, 2, (*regions.shape, 3)), (0, 0), 8)
    vectors = rng.normal(size=(regions.max() + 1, 3))[regions] + bend
    vectors /= np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.uint8((vectors + 1) * 127.5)


def _edges(regions: np.ndarray) -> np.ndarray:
    edges = np.zeros(regions.shape, dtype=np.uint8)
    edges[:, :-1] |= regions[:, :-1] != regions[:, 1:]
    edges[:-1] |= regions[:-1] != regions[1:]
    return edges


def _annotation(regions: np.ndarray, people: int) -> dict:
    """The struct of PASCAL-Part: every person has 12 parts, each a slice of one region; and a thing without parts."""
    mask = np.ones(regions.shape, dtype=np.uint8)
    rows = [('table', 11, mask, np.zeros((0, 0)))]
    for person in range(people):
        body = regions == person
        stripes = np.arange(len(regions)) * len(_PARTS) // len(regions)
        parts = [(name, (body & (stripes == index)[:, None]).astype(np.uint8)) for index, name in enumerate(_PARTS)]
        rows.append(('person', 15, body.astype(np.uint8), _records(parts, ('part_name', 'mask'))))
    return dict(imname='', objects=_records(rows, ('class', 'class_ind', 'mask', 'parts')))


def _records(rows: list[tuple], names: tuple[str, ...]) -> np.ndarray:
    records = np.empty((1, len(rows)), dtype=[(name, object) for name in names])
    records[0, :] = rows
    return records


def _mat(path: Path, **content) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    scipy.io.savemat(path, content, do_compression=True)


def _png(path: Path, array: np.ndarray) -> None:
    _write(path, cv2.imencode('.png', array[..., ::-1] if array.ndim == 3 else array)[1].tobytes())


def _split(path: Path, ids: list[str]) -> None:
    _write(path, ''.join(f'{name}\n' for name in ids).encode())


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
