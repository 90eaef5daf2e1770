"""NYUD-v2 from the official file ``nyu_depth_v2_labeled.mat`` to the layout of ``NYUDv2Dataset``.

The file is HDF5 (MATLAB v7.3) with reversed axes; it is read a frame at a time and never as a whole.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np

from mlore_mm.datasets.label_readers.numeric import VectorReader
from mlore_mm.datasets.label_readers.png_maps import label_boundaries
from mlore_mm.datasets.line_thinning import thin
from mlore_mm.datasets.normals_from_depth import normals_from_depth
from mlore_mm.datasets.nyud_v2_labels import FRAMES, TEST, TO_13_OF_40, TO_40, TRAIN
from mlore_mm.utils.whole_files import write_array, write_picture, write_whole

# Of the colour camera, from the toolbox of the data set, in pixels of the full image.
INTRINSICS = (518.857901, 519.469611, 325.582449, 253.736166)
CROP = (slice(44, 470), slice(40, 600))  # rows 45..470 and columns 41..600 from 1: without the white border
GAP = 14  # pixels; strips without a label that are narrower belong to the regions beside them
VARIABLES = ('images', 'depths', 'rawDepths', 'labels', 'instances')
FOLDERS = ('images', 'segmentation', 'depth', 'normals', 'edge')
STATE = 'conversion.json'


@dataclass(frozen=True)
class Conversion:
    """What is made of the file.

    Args:
        classes: 40 or 13.
        raw_depth: Depth as measured, 0 where the sensor saw nothing, in place of the in-painted one.
        crop: Cut the white border off, as the usual evaluation does.
    """

    classes: int = 40
    raw_depth: bool = False
    crop: bool = True

    def __post_init__(self) -> None:
        if self.classes not in (13, 40):
            raise ValueError(f'NYUD-v2 has 40 or 13 classes, but got classes={self.classes}.')


def open_labeled(path: str):
    """The HDF5 file, checked to be the one that is meant.

    Raises:
        ValueError: h5py is missing, or the file is, or it has other variables or sizes.
    """
    try:
        import h5py
    except ImportError as error:
        raise ValueError('Reading nyu_depth_v2_labeled.mat needs h5py: pip install h5py') from error
    try:
        file = h5py.File(path, 'r')
    except OSError as error:
        raise ValueError(f'{path} cannot be read as an HDF5 file (MATLAB v7.3): {error}. Is it complete?') from error
    missing = [name for name in VARIABLES if name not in file]
    if missing:
        raise ValueError(f'{path} has no {", ".join(missing)}; it holds {sorted(file)}. Give nyu_depth_v2_labeled.mat.')
    frames, _, width, height = file['images'].shape
    wrong = [name for name in VARIABLES[1:] if file[name].shape != (frames, width, height)]
    if wrong:
        raise ValueError(f'{path}: {", ".join(wrong)} are not of the size of the images, {(frames, width, height)}.')
    return file


def checksum(path: str) -> str:
    """SHA-256 of a file, read in pieces."""
    digest = hashlib.sha256()
    with open(path, 'rb') as file:
        while piece := file.read(2**24):
            digest.update(piece)
    return digest.hexdigest()


def convert(path: str, out: str, options: Conversion | None = None, digest: str | None = None) -> Iterator[bool]:
    """Write one frame after the other; frames that are there already are kept, so an interrupted run goes on.

    Yields:
        For each frame whether it was written now.

    Raises:
        ValueError: See :func:`open_labeled`; ``out`` was begun from another file or with other options, or holds frames
            that no conversion made.
    """
    root, options = Path(out), options or Conversion()
    with open_labeled(path) as file:
        frames = len(file['images'])
        _begin(root, path, dict(asdict(options), frames=frames, sha256=digest or checksum(path)))
        for number in range(1, frames + 1):
            goals = [root / folder / f'{number:04d}{".npy" if folder == "depth" else ".png"}' for folder in FOLDERS]
            if all(goal.exists() for goal in goals):
                yield False
                continue
            photo, semseg, depth, normals, edge = read_frame(file, number - 1, options)
            for goal, values in zip(goals, (photo, semseg, depth, normals, edge), strict=True):
                (write_array if goal.suffix == '.npy' else write_picture)(goal, values)
            yield True
    for name, numbers in (('train', TRAIN), ('val', TEST)):
        kept = [f'{number:04d}\n' for number in numbers if number <= frames]
        write_whole(root / 'gt_sets' / f'{name}.txt', ''.join(kept))


def _begin(root: Path, path: str, state: dict) -> None:
    if not (root / STATE).exists():
        foreign = [name for name in (*FOLDERS, 'gt_sets') if (root / name).is_dir() and any((root / name).iterdir())]
        if foreign:
            raise ValueError(
                f'{root} holds files in {", ".join(foreign)} and no {STATE}, so it is no begun conversion but data of '
                'another origin, which would be mixed up with the new frames. Give another folder, or empty it.'
            )
    for folder in (*FOLDERS, 'gt_sets'):
        (root / folder).mkdir(parents=True, exist_ok=True)
    if (root / STATE).exists():
        before = json.loads((root / STATE).read_text(encoding='utf-8'))
        changed = [f'{k} {before.get(k)} then, {value} now' for k, value in state.items() if before.get(k) != value]
        if changed:
            raise ValueError(f'{root} was begun otherwise ({"; ".join(changed)}). Give another folder, or empty it.')
    write_whole(root / STATE, json.dumps(state, indent=2) + '\n')


def read_frame(file, index: int, options: Conversion) -> tuple[np.ndarray, ...]:
    """Photo (H, W, 3), class ids, depth in metres, normals as RGBA, boundaries of 0 and 255; of frame ``index``."""
    photo = file['images'][index].transpose(2, 1, 0)
    labels, instances = (file[name][index].T for name in ('labels', 'instances'))
    depth = file['rawDepths' if options.raw_depth else 'depths'][index].T.astype(np.float32)
    depth = np.where(np.isfinite(depth) & (depth > 0), depth, 0)
    normals = normals_from_depth(depth, INTRINSICS)
    if labels.max() >= len(TO_40):
        raise ValueError(f'Frame {index + 1} has the label {labels.max()}, expected 0 to {len(TO_40) - 1}.')
    ids = TO_40[labels]
    ids = ids if options.classes == 40 else TO_13_OF_40[ids]
    maps = photo, ids, depth, VectorReader.encode(normals), region_boundaries(labels, instances)
    window = CROP if options.crop and photo.shape[:2] == (480, 640) else (slice(None), slice(None))
    return tuple(np.ascontiguousarray(values[window]) for values in maps)


def region_boundaries(labels: np.ndarray, instances: np.ndarray) -> np.ndarray:
    """Boundaries between annotated regions, one pixel wide; uint8 of 0 and 255.

    A region is an instance of a label. Between regions the annotation leaves strips without a label: pixels within half
    of ``GAP`` of a region go to the nearest one; wider areas count as a region of their own.
    """
    regions = labels.astype(np.int64) * (int(instances.max()) + 1) + instances
    regions[labels == 0] = 0
    empty = (regions == 0).astype(np.uint8)
    if empty.any() and not empty.all():
        distance, nearest = cv2.distanceTransformWithLabels(empty, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
        of_label = np.zeros(nearest.max() + 1, dtype=np.int64)
        of_label[nearest[empty == 0]] = regions[empty == 0]
        wide = cv2.dilate((distance > GAP / 2).astype(np.uint8), np.ones((GAP + 1, GAP + 1), np.uint8)) > 0
        regions = np.where((empty > 0) & ~wide, of_label[nearest], regions)
    _, dense = np.unique(regions, return_inverse=True)
    return thin(label_boundaries(dense.reshape(labels.shape), ignore=(-1,)) == 1).astype(np.uint8) * 255


def is_complete(frames: int) -> bool:
    """Whether a file holds all frames, so that the official split applies."""
    return frames == FRAMES
