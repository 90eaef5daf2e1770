"""Taskonomy as it is downloaded: a folder per domain, photos by building."""

import csv
import os
from collections.abc import Mapping, Sequence

from mlore_mm.datasets.multi_task_dataset import MultiTaskDataset
from mlore_mm.datasets.sample_list import list_folder, name_some, require_folder
from mlore_mm.registry import DATASETS

SPLITS = ('train', 'val', 'test')
EDGE = dict(type='RangeReader', high=0.08 * 2**16)
GREY = dict(type='RangeReader', high=255)
METRES = dict(type='ScaledReader', divisor=512, bits=16)  # 65535 marks no reading

# What is read of each domain, which is a folder and a part of every file's name. To add one, add a line.
DOMAINS: dict[str, dict] = dict(
    depth_euclidean=METRES,
    depth_zbuffer=METRES,
    normal=dict(type='VectorReader'),
    principal_curvature=dict(type='ChannelsReader', mean=(123.572, 120.1), std=(31.922, 21.658)),
    # Not clipped but smoothed: by 8 pixels of the 512 of the file, 4 of the 256 that it is resized to.
    edge_occlusion=dict(type='RangeReader', high=0.00625 * 2**16, clip=False, blur=8),
    edge_texture=EDGE,
    keypoints2d=dict(type='RangeReader', high=0.005 * 2**16),
    keypoints3d=dict(type='RangeReader', high=2**16),
    reshading=GREY,
    segment_unsup2d=GREY,
    segment_unsup25d=GREY,
    # 16 kinds of objects and the rest; 0 marks what is not known. No task of Mod-Squad.
    segment_semantic=dict(type='IdMapReader', suffix='_domain_segmentsemantic.png', offset=-1, ignore=(0,)),
)


def default_labels() -> dict[str, dict]:
    """The label reader of every domain, under the domain's name."""
    return {name: dict(dict(dir=name, suffix=f'_domain_{name}.png'), **reader) for name, reader in DOMAINS.items()}


@DATASETS.register_module()
class TaskonomyDataset(MultiTaskDataset):
    """Photos of rooms, 512x512, with labels that other networks and scanned meshes gave.

    Below ``data_root``, for each domain D, ``D/<building>/point_P_view_V_domain_D.png``; photos are the domain ``rgb``.
    A task is read from the domain of its name; one of another name says what it is read from, as in
    ``labels=dict(depth=dict(type='ScaledReader', divisor=512, bits=16, dir='depth_zbuffer',
    suffix='_domain_depth_zbuffer.png'))``. Depth is in metres, 1/512 m a step.

    Source: Taskonomy (Zamir et al., CVPR 2018); encodings as in Mod-Squad (Chen et al., CVPR 2023).

    Args:
        data_root: See ``MultiTaskDataset``, as are the arguments not named here.
        split: 'train', 'val' or 'test'.
        split_file: Table of the buildings that comes with the data, below ``data_root``: CSV with the columns ``id``,
            ``train``, ``val``, ``test``, 1 where a building belongs to the split.
        buildings: Names of the buildings instead. Without either, every building in the folder of photos.
        points: Only so large a part of the photos, from the first; Mod-Squad tests on the first tenth.

    Raises:
        ValueError: The folder of a task's domain or a building's is missing, the table is none or has no building of
            the split, or what ``MultiTaskDataset`` finds.
    """

    IMG_DIR = 'rgb'
    IMG_SUFFIX = '_domain_rgb.png'
    LABELS = default_labels()

    def __init__(
        self,
        data_root: str,
        *args,
        split: str = 'train',
        split_file: str | None = None,
        buildings: Sequence[str] = (),
        points: float = 1.0,
        **kwargs,
    ) -> None:
        if split not in SPLITS or not 0 < points <= 1:
            raise ValueError(
                f'TaskonomyDataset needs a split of {SPLITS} and 0 < points <= 1, but got {split!r} and {points}.'
            )
        self.split, self.split_file, self.points = split, split_file, points
        self.buildings = [buildings] if isinstance(buildings, str) else list(buildings)
        super().__init__(data_root, *args, **kwargs)

    def load_data_list(self) -> list[dict]:
        require_folder(self.data_root, 'The root of TaskonomyDataset,', 'Check `data_root`.')
        self._check_domains()
        return super().load_data_list()

    def _check_domains(self) -> None:
        """A domain that was never downloaded would look like a data set without any labels of it."""
        folders = {name: [reader.dir for reader in readers] for name, readers in self.readers.items() if readers}
        folders['the photos'] = [self.data_prefix['img']]
        missing = {
            name: dirs
            for name, dirs in folders.items()
            if not any(os.path.isdir(os.path.join(self.data_root, folder)) for folder in dirs)
        }
        if missing:
            name, dirs = next(iter(missing.items()))
            found = sorted(entry.name for entry in os.scandir(self.data_root) if entry.is_dir())
            raise ValueError(
                f'{self.data_root} has no folder of the domain of {", ".join(missing)}: expected '
                f'{os.path.join(self.data_root, dirs[0])}/<building>/point_P_view_V_domain_*.png, found the folders '
                f'{name_some(found) or "none"}. Download the domain, or leave {name} out with `task_names`.'
            )

    def _read_ids(self, img_dir: str) -> list[str]:
        if self.ann_file:
            return super()._read_ids(img_dir)
        ids = []
        for building in self.buildings or self._buildings_of_split(img_dir):
            folder = os.path.join(img_dir, building)
            require_folder(folder, f"The photos of the building '{building}',", 'Check `buildings` and `split_file`.')
            ids += [f'{building}/{name}' for name in list_folder(folder, self.img_suffixes)]
        return ids[: max(1, int(self.points * len(ids)))]

    def _buildings_of_split(self, img_dir: str) -> list[str]:
        if self.split_file is None:
            return sorted(entry.name for entry in os.scandir(img_dir) if entry.is_dir())
        path = os.path.join(self.data_root, self.split_file)
        names = [row['id'] for row in _read_table(path) if row[self.split].strip() == '1']
        if not names:
            raise ValueError(f"{path} has no building whose column '{self.split}' is 1.")
        return names


def _read_table(path: str) -> list[Mapping]:
    try:
        with open(path, encoding='utf-8-sig', newline='') as file:
            table = csv.DictReader(file)
            rows, columns = list(table), table.fieldnames or []
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f'Cannot read the table of buildings {path}: {error}. Check `split_file`.') from error
    lost = [name for name in ('id', *SPLITS) if name not in columns]
    short = [row['id'] for row in rows if not lost and None in row.values()]
    if lost or short:
        what = f'lacks the columns {lost}, it has {columns}' if lost else f'has incomplete lines: {name_some(short)}'
        raise ValueError(f'The table of buildings {path} {what}.')
    return rows
