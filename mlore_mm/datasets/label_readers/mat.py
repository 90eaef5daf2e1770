"""Labels of PASCAL-Context in MATLAB files: regions of 459 classes, and parts of people."""

import os
from collections.abc import Sequence

import cv2
import numpy as np

from mlore_mm.datasets.label_readers.base import LabelReader
from mlore_mm.datasets.label_readers.numeric import VectorReader
from mlore_mm.datasets.line_thinning import thin
from mlore_mm.datasets.pascal_classes import HUMAN_PARTS, NORMALS_CLASSES, PERSON
from mlore_mm.registry import LABEL_READERS
from mlore_mm.utils import mat_files
from mlore_mm.utils.file_bytes import MAX_PIXELS


@LABEL_READERS.register_module()
class ContextEdgeReader(LabelReader):
    """Boundaries between the regions of a ``LabelMap``: its thinned non-zero Laplacian, 0 or 1; uint8."""

    def __init__(self, *args, suffix: str = '.mat', **kwargs) -> None:
        super().__init__(*args, suffix=suffix, **kwargs)

    def read(self, path: str) -> np.ndarray:
        return thin(laplacian(read_label_map(path)) != 0)


@LABEL_READERS.register_module()
class ContextNormalsReader(VectorReader):
    """Normals in a PNG, kept only where the context class is one whose normals can be trusted.

    The other pixels get the zero vector.

    Args:
        context_dir: Folder of the ``LabelMap`` files, relative to the root of the data set.
        context_suffix: Their suffix.
        class_ids: Context classes whose normals are used; the 170 published ones by default.
    """

    def __init__(
        self,
        *args,
        context_dir: str,
        context_suffix: str = '.mat',
        class_ids: Sequence[int] = tuple(NORMALS_CLASSES),
        **kwargs,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.context_dir, self.context_suffix = context_dir, context_suffix
        self.dropped = np.ones(2**16, dtype=bool)
        self.dropped[list(class_ids)] = False

    def paths(self, root: str, sample_id: str) -> tuple[str, ...]:
        context = os.path.join(root, self.context_dir, sample_id + self.context_suffix)
        return (*super().paths(root, sample_id), context)

    def read(self, path: str, context_path: str) -> np.ndarray:
        normals, classes = super().read(path), read_label_map(context_path)
        if classes.shape != normals.shape[:2]:
            raise ValueError(f'{path} is {normals.shape[:2]} (H, W), but {context_path} is {classes.shape}.')
        kept = ~self.dropped.take(classes)
        if np.ma.isMaskedArray(normals):
            kept &= ~normals.mask[..., 0]  # a pixel is masked as a whole
        return cv2.copyTo(np.asarray(normals), kept.astype(np.uint8))  # 0 elsewhere


@LABEL_READERS.register_module()
class HumanPartsReader(LabelReader):
    """Parts of all persons in a file of PASCAL-Part, 0 where there is none, 1 to 6; uint8.

    Where masks overlap, the later one counts. A file without persons gives zeros, one without any object None.

    Args:
        parts: Part id of every part name in the files.
    """

    def __init__(self, *args, suffix: str = '.mat', parts: dict[str, int] = HUMAN_PARTS, **kwargs) -> None:
        super().__init__(*args, suffix=suffix, **kwargs)
        self.parts = dict(parts)

    def read(self, path: str) -> np.ndarray | None:
        try:
            objects = _field(load_mat(path, 'anno').ravel()[0], 'objects').ravel()
            if not objects.size:  # then the file does not tell the size of the image either
                return None
            target = np.zeros(_field(objects[0], 'mask').shape, dtype=np.uint8)
            for thing in objects:
                parts = _field(thing, 'parts')
                if _field(thing, 'class_ind').item() == PERSON and parts.size:
                    self._draw(target, parts.ravel(), path)
        except Exception as error:  # a struct may be anything
            if isinstance(error, ValueError) and path in str(error):
                raise
            raise ValueError(
                f'{path}: `anno` is not the struct of PASCAL-Part, objects with class_ind, mask and parts: {error!r}'
            ) from error
        return target

    def _draw(self, target: np.ndarray, parts: np.ndarray, path: str) -> None:
        for part in parts:
            name, mask = str(_field(part, 'part_name').item()), _field(part, 'mask')
            if name not in self.parts:
                raise ValueError(f"{path} has a person with the part '{name}'; known parts: {sorted(self.parts)}.")
            if mask.shape != target.shape:
                raise ValueError(f"{path}: the mask of '{name}' is {mask.shape}, that of the object {target.shape}.")
            target[mask != 0] = self.parts[name]


def _field(struct: np.void, name: str):
    """A field of a MATLAB struct; KeyError without it, where NumPy's own error would be taken for a bad label."""
    names = getattr(getattr(struct, 'dtype', None), 'names', None) or ()
    if name not in names:
        raise KeyError(f'no field `{name}` in {type(struct).__name__} with {names}')
    return struct[name]


def laplacian(values: np.ndarray) -> np.ndarray:
    """Sum of the 4 neighbours minus 4 times the pixel, int32; mirrored at the border without repeating it."""
    mode = 'reflect' if min(values.shape) > 1 else 'edge'
    padded = np.pad(values.astype(np.int32), 1, mode=mode)
    centre = padded[1:-1, 1:-1]
    return padded[:-2, 1:-1] + padded[2:, 1:-1] + padded[1:-1, :-2] + padded[1:-1, 2:] - 4 * centre


def read_label_map(path: str) -> np.ndarray:
    """See :func:`mlore_mm.utils.mat_files.read_label_map`."""
    return mat_files.read_label_map(path, MAX_PIXELS)


def load_mat(path: str, variable: str) -> np.ndarray:
    """See :func:`mlore_mm.utils.mat_files.load_mat`."""
    return mat_files.load_mat(path, variable, MAX_PIXELS)
