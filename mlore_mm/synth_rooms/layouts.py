"""The two on-disk layouts, folder by folder as in the downloaded NYUDv2 and PASCALContext archives."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.io import savemat

from .labels import annotation, boundaries, encode_normals, saliency
from .render import View


def _save(array: np.ndarray, path: Path, **kwargs) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, **kwargs)


def _write_lines(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def _save_mat(content: dict, path: Path) -> None:
    """A MATLAB file without the date of writing in its 116 bytes of header text, so that equal data are equal files."""
    path.parent.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    savemat(buffer, content, do_compression=True)
    path.write_bytes(b'MATLAB 5.0 MAT-file, SynthRooms'.ljust(116) + buffer.getvalue()[116:])


class NYUDLayout:
    """NYUD-v2: every image has the same size; segmentation is 0 for unlabelled and 1-40."""

    folder = 'NYUDv2'
    scheme = 'nyud'

    @staticmethod
    def image_size(index: int, size: tuple[int, int]) -> tuple[int, int]:
        return size

    @staticmethod
    def write(root: Path, name: str, index: int, view: View) -> list[int]:
        """Writes one image and its five maps."""
        _save(view.photo, root / 'images' / f'{name}.png')
        _save(view.labels('nyud').astype(np.uint8), root / 'segmentation' / f'{name}.png')
        _save(encode_normals(view.normals), root / 'normals' / f'{name}.png')
        _save(boundaries(view), root / 'edge' / f'{name}.png')
        (root / 'depth').mkdir(exist_ok=True)
        np.save(root / 'depth' / f'{name}.npy', view.depth)
        return []

    @staticmethod
    def write_split(root: Path, split: str, names: list[str], classes: list[list[int]]) -> None:
        _write_lines(root / 'gt_sets' / f'{split}.txt', ''.join(f'{n}\n' for n in names))


class PASCALLayout:
    """PASCAL-Context: sizes vary, and one semantic map in four is found under ``semseg/pascal-context`` only."""

    folder = 'PASCALContext'
    scheme = 'voc'

    @staticmethod
    def image_size(index: int, size: tuple[int, int]) -> tuple[int, int]:
        """The given size, upright in one image of five, a tenth lower in another one."""
        height, width = size
        return {2: (width, height), 4: (round(0.9 * height), width)}.get(index % 5, (height, width))

    @staticmethod
    def write(root: Path, name: str, index: int, view: View) -> list[int]:
        """Writes one image and its maps; returns the VOC classes of the things in it."""
        _save(view.photo, root / 'JPEGImages' / f'{name}.jpg', quality=93)
        semseg = 'pascal-context' if index % 4 == 3 else 'VOC12'
        _save(view.labels('voc').astype(np.uint8), root / 'semseg' / semseg / f'{name}.png')
        _save(encode_normals(view.normals), root / 'normals_distill' / f'{name}.png')
        _save(saliency(view), root / 'sal_distill' / f'{name}.png')
        anno, classes = annotation(view, name)
        _save_mat({'anno': anno}, root / 'human_parts' / f'{name}.mat')
        _save_mat({'LabelMap': view.labels('context')}, root / 'pascal-context' / 'trainval' / f'{name}.mat')
        return classes

    @staticmethod
    def write_split(root: Path, split: str, names: list[str], classes: list[list[int]]) -> None:
        _write_lines(root / 'ImageSets' / 'Context' / f'{split}.txt', ''.join(f'{n}\n' for n in names))
        rows = ',\n'.join(f'\t"{n}": {json.dumps(c)}' for n, c in zip(names, classes, strict=True))
        _write_lines(root / 'ImageSets' / 'Parts' / f'{split}.txt', '{\n' + rows + '\n}\n')


LAYOUTS = {'nyud': NYUDLayout, 'pascal': PASCALLayout}
