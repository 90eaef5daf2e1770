"""From a rendered view to label maps: boundaries, the salient thing, normals as an image, annotated people."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from mlore_mm.datasets.pascal_classes import VOC_CLASSES

from .classes import KINDS, PART_NAMES
from .render import View

NOT_SALIENT = ('floor', 'ceiling', 'wall', 'window', 'door')


def encode_normals(normals: np.ndarray) -> np.ndarray:
    """Unit vectors (H, W, 3) as an RGB image: each component in -1..1 becomes 0..255."""
    return np.rint((normals + 1) / 2 * 255).astype(np.uint8)


def boundaries(view: View) -> np.ndarray:
    """255 on the outlines of things and where two walls, or a wall and the floor, meet; one pixel wide, (H, W) uint8.

    The pixel marked is the one on the side of the higher instance number, so furniture rather than the room behind it.
    """
    cross = ndimage.generate_binary_structure(2, 1)
    return np.where(view.instance > ndimage.minimum_filter(view.instance, footprint=cross), 255, 0).astype(np.uint8)


def saliency(view: View, person_share: float = 0.005) -> np.ndarray:
    """255 on the salient things, (H, W) uint8.

    The rule: every person that covers ``person_share`` of the image; without one, the single thing, windows and doors
    apart, with the largest area when pixels are weighted by closeness to the image centre (a Gaussian with a standard
    deviation of 0.18 of the image's height and width).
    """
    height, width = view.instance.shape
    areas = np.bincount(view.instance.ravel(), minlength=len(view.kinds))
    people = [i for i, kind in enumerate(view.kinds) if kind == 'person' and areas[i] >= person_share * height * width]
    if not people:
        y, x = np.mgrid[:height, :width] + 0.5
        weight = np.exp(-((y / height - 0.5) ** 2 + (x / width - 0.5) ** 2) / (2 * 0.18**2))
        scores = np.bincount(view.instance.ravel(), weight.ravel(), len(view.kinds))
        scores[[kind in NOT_SALIENT for kind in view.kinds]] = 0
        people = [int(scores.argmax())] if scores.max() > 0 else []
    return np.where(np.isin(view.instance, people), 255, 0).astype(np.uint8)


def _records(rows: list[tuple], names: tuple[str, ...]) -> np.ndarray:
    """A (1, N) struct array as MATLAB writes it; without rows the empty double matrix, as in the real files."""
    if not rows:
        return np.zeros((0, 0))
    out = np.empty((1, len(rows)), dtype=[(n, object) for n in names])
    out[0, :] = rows
    return out


def annotation(view: View, name: str) -> tuple[dict, list[int]]:
    """The ``anno`` struct of PASCAL-Parts for everything that has a VOC class, and the list of those classes.

    People carry a mask for each visible part; other things have no parts.
    """
    objects, classes = [], []
    for instance, kind in enumerate(view.kinds):
        mask, voc = view.instance == instance, KINDS[kind].voc
        if not voc or not mask.any():
            continue
        seen = np.unique(view.part[mask])
        parts = [(PART_NAMES[p - 1], (mask & (view.part == p)).astype(np.uint8)) for p in seen if p]
        parts = _records(parts, ('part_name', 'mask'))
        objects.append((VOC_CLASSES[voc], np.uint8(voc), mask.astype(np.uint8), parts))
        classes.append(voc)
    return {'imname': name, 'objects': _records(objects, ('class', 'class_ind', 'mask', 'parts'))}, classes
