"""The training pipelines step by step as published, in float and with one library call per step: what ours replaces.

It stands for the published code in benchmarks, and gives the same distribution of samples.
"""

import mlore_mm  # noqa: F401  mmseg cannot be imported before it everywhere, see mlore_mm/utils/compat.py

# isort: split
import cv2
import numpy as np
import scipy.io
import torch
from mmseg.datasets.transforms import PhotoMetricDistortion
from PIL import Image
from skimage.morphology import thin

from mlore_mm.datasets.label_readers import ContextEdgeReader, ContextNormalsReader, HumanPartsReader
from mlore_mm.datasets.pascal_classes import HUMAN_PARTS, NORMALS_CLASSES, PERSON

MEAN, STD = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])
PADDING = dict(image=0, depth=0, normals=0)


def literal_sample(info: dict, crop_size: tuple[int, int]) -> dict[str, torch.Tensor]:
    """One training sample, from ``dataset.get_data_info(index)``."""
    maps = dict(image=np.array(Image.open(info['img_path']).convert('RGB')).astype(np.float32))
    for task, (reader, paths) in info['label_files'].items():
        maps[task] = _load(task, reader, paths)
    maps = _scale(maps, np.random.uniform(0.5, 2))  # noqa: NPY002
    maps = _crop(maps, crop_size)
    if np.random.rand() < 0.5:  # noqa: NPY002
        maps = {name: np.fliplr(array).copy() for name, array in maps.items()}
        maps['normals'][..., 0] *= -1
    image = PhotoMetricDistortion()(dict(img=maps['image'].astype(np.uint8)))['img']
    maps['image'] = (image.astype(np.float32) / 255 - MEAN) / STD
    maps = {name: _pad(array, crop_size, PADDING.get(name, 255)) for name, array in maps.items()}
    maps['normals'][np.linalg.norm(maps['normals'], axis=2) == 0] = 255
    if 'human_parts' in maps and not np.isin(np.unique(maps['human_parts']), range(1, 7)).any():
        maps['human_parts'][:] = 255
    return {name: torch.from_numpy(np.atleast_3d(array).transpose(2, 0, 1)).float() for name, array in maps.items()}


def _load(task: str, reader, paths: tuple[str, ...]) -> np.ndarray:
    if isinstance(reader, HumanPartsReader):
        return _human_parts(scipy.io.loadmat(paths[0])['anno'][0, 0]['objects'][0])
    if isinstance(reader, ContextEdgeReader):
        label_map = scipy.io.loadmat(paths[0])['LabelMap'].astype(np.float64)
        return thin(np.abs(cv2.Laplacian(label_map, cv2.CV_64F)) > 0).astype(np.float32)
    if isinstance(reader, ContextNormalsReader):
        label_map, vectors = scipy.io.loadmat(paths[1])['LabelMap'], _vectors(paths[0])
        kept = np.zeros_like(vectors)
        for index in np.unique(label_map):
            if index in NORMALS_CLASSES:
                kept[label_map == index] = vectors[label_map == index]
        return kept
    if task == 'depth':
        return np.load(paths[0]).astype(np.float32)
    if task == 'normals':
        return _vectors(paths[0])
    values = np.array(Image.open(paths[0])).astype(np.float32)
    return dict(edge=values / 255, sal=(values / 255 > 0.5).astype(np.float32)).get(task, values)


def _vectors(path: str) -> np.ndarray:
    return 2 * (np.array(Image.open(path)).astype(np.float32) / 255) - 1


def _human_parts(objects: np.ndarray) -> np.ndarray:
    target = np.zeros(objects[0]['mask'].shape, dtype=np.float32)
    for thing in objects:
        if thing['class_ind'].item() == PERSON and thing['parts'].size:
            for part in thing['parts'][0]:
                target[part['mask'].astype(bool)] = HUMAN_PARTS[part['part_name'].item()]
    return target


def _scale(maps: dict, scale: float) -> dict:
    height, width = maps['image'].shape[:2]
    size = (int(width * scale), int(height * scale))
    scaled = {}
    for name, array in maps.items():
        method = cv2.INTER_LINEAR if name == 'image' else cv2.INTER_NEAREST
        scaled[name] = cv2.resize(array, size, interpolation=method)
    if 'depth' in scaled:
        scaled['depth'] /= scale
    return scaled


def _crop(maps: dict, size: tuple[int, int]) -> dict:
    for _ in range(11):
        top, left = (
            np.random.randint(0, max(have - want, 0) + 1)  # noqa: NPY002
            for have, want in zip(maps['image'].shape[:2], size, strict=True)
        )
        window = np.s_[top : top + size[0], left : left + size[1]]
        labels, counts = np.unique(maps['semseg'][window], return_counts=True)
        counts = counts[labels != 255]
        if len(counts) > 1 and counts.max() / counts.sum() < 0.75:
            break
    return {name: array[window] for name, array in maps.items()}


def _pad(array: np.ndarray, size: tuple[int, int], value: float) -> np.ndarray:
    top, left = (max(want - have, 0) // 2 for have, want in zip(array.shape[:2], size, strict=True))
    bottom, right = max(size[0] - array.shape[0], 0) - top, max(size[1] - array.shape[1], 0) - left
    channels = array.shape[2] if array.ndim == 3 else 1
    return cv2.copyMakeBorder(array, top, bottom, left, right, cv2.BORDER_CONSTANT, value=[value] * channels)
