"""The reference arrays and what it takes to compare with them; not a test by itself."""

import re
from pathlib import Path

import numpy as np

from mlore_mm.datasets import NYUDv2Dataset, PASCALContextDataset
from mlore_mm.datasets.transforms import (
    CentrePad,
    LoadMultiTaskImage,
    LoadMultiTaskLabels,
    MarkIgnore,
    MultiTaskRandomFlip,
    MultiTaskRandomScale,
)

MEAN = np.array([0.485, 0.456, 0.406], dtype=np.float32)
STD = np.array([0.229, 0.224, 0.225], dtype=np.float32)
TASKS = dict(
    nyud=dict(
        semseg=dict(type='SemSeg', out_channels=40),
        depth=dict(type='Depth'),
        normals=dict(type='SurfaceNormals'),
        edge=dict(type='Edge'),
    ),
    pascal=dict(
        semseg=dict(type='SemSeg', out_channels=21),
        human_parts=dict(type='HumanParts'),
        sal=dict(type='Saliency'),
        normals=dict(type='SurfaceNormals'),
        edge=dict(type='Edge'),
    ),
)
# data set, split file, size after padding in the test and in the training stage
SETUP = dict(
    nyud=(NYUDv2Dataset, 'gt_sets/{}.txt', (112, 144), (96, 112)),
    pascal=(PASCALContextDataset, 'ImageSets/Context/{}.txt', (160, 160), (128, 128)),
)


def build_dataset(name: str, root: Path, split: str, **kwargs):
    cls, ann_file, _, _ = SETUP[name]
    return cls(
        data_root=str(root), ann_file=ann_file.format(split), metainfo=dict(tasks=TASKS[name]), pipeline=[], **kwargs
    )


def run_stage(dataset, index: int, stage: str, name: str) -> dict[str, np.ndarray]:
    """The image and every target after ``stage`` of the published pipeline, in its layout and channel order."""
    _, _, test_size, train_size = SETUP[name]
    results = dataset.get_data_info(index)
    steps = [LoadMultiTaskImage(), LoadMultiTaskLabels()]
    numbers = [float(x) for x in re.findall(r'[\d.]+', stage)]
    if 'scale' in stage:
        scale = MultiTaskRandomScale((numbers[0], numbers[0]), 'uint8' if stage.startswith('scaled') else 'float32')
        steps.append(scale)
    if 'crop' in stage:
        steps += [lambda r: _crop(r, int(numbers[1]), int(numbers[2]), train_size), MultiTaskRandomFlip(prob=1)]
    packed = stage == 'val' or 'crop' in stage
    if packed:
        steps += [_normalise, CentrePad(test_size if stage == 'val' else train_size), MarkIgnore()]
    for step in steps:
        results = step(results)
    arrays = dict(results['targets'], image=results['img'] if packed else results['img'][..., ::-1])
    arrays = {key: array[..., None] if array.ndim == 2 else array for key, array in arrays.items()}
    return {key: array.transpose(2, 0, 1) for key, array in arrays.items()} if packed else arrays


def _crop(results: dict, top: int, left: int, size: tuple[int, int]) -> dict:
    window = np.s_[top : top + size[0], left : left + size[1]]
    results['img'] = results['img'][window]
    results['targets'] = {name: target[window] for name, target in results['targets'].items()}
    return results


def _normalise(results: dict) -> dict:
    rgb = results['img'][..., ::-1].astype(np.float32)
    results['img'] = (rgb / 255 - MEAN) / STD
    return results
