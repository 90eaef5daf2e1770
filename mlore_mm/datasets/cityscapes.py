"""Cityscapes as it is downloaded."""

import os
from collections.abc import Mapping

from mlore_mm.datasets.intrinsics import read_camera
from mlore_mm.datasets.multi_task_dataset import MultiTaskDataset
from mlore_mm.registry import DATASETS

# Label ids of the 19 classes of the benchmark in their order, and of the 16 that are also in Synthia.
TRAIN_IDS = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
SIXTEEN = (7, 8, 11, 12, 13, 17, 19, 20, 21, 23, 24, 25, 26, 28, 32, 33)
CLASS_SETS = {19: TRAIN_IDS, 16: SIXTEEN}
LABEL_IDS = range(34)  # all there are, those of nothing included


@DATASETS.register_module()
class CityscapesDataset(MultiTaskDataset):
    """Cityscapes: 2975 training and 500 validation images of streets, 1024x2048.

    Below ``data_root``, for each split and city, ``leftImg8bit/*_leftImg8bit.png``, ``gtFine/*_gtFine_labelIds.png``,
    ``disparity/*_disparity.png`` and ``camera/*_camera.json``. Semantic segmentation and depth are read, the latter
    from disparity; normals come from depth, by ``NormalsFromDepth`` in the pipeline or ``NormalsFromDepthLoss``.
    For depth maps instead of disparities give ``labels=dict(depth=dict(type='ScaledReader', dir=..., suffix=...,
    divisor=256, bits=16))``.

    Args:
        data_root: See ``MultiTaskDataset``, as are the arguments not named here.
        split: 'train', 'val' or 'test'. Every image of the split is a sample, unless ``ann_file`` lists some as
            ``<city>/<name>``.
        classes: 19, those of the benchmark, or 16, those of DenseMTL and of work with Synthia; other classes are
            ignored.

    Raises:
        ValueError: An unknown number of classes, or what ``MultiTaskDataset`` finds.
    """

    IMG_SUFFIX = '_leftImg8bit.png'
    LABELS = dict(semseg={}, depth={}, normals=None)

    def __init__(
        self,
        data_root: str,
        *args,
        split: str = 'train',
        classes: int = 19,
        data_prefix: Mapping | None = None,
        missing_labels: str = 'raise',
        **kwargs,
    ) -> None:
        if classes not in CLASS_SETS:
            raise ValueError(f'CityscapesDataset has 19 or 16 classes, but got classes={classes}.')
        self.camera_dir = f'camera/{split}'
        id_map = {label_id: i for i, label_id in enumerate(CLASS_SETS[classes])}
        ignore = [label_id for label_id in LABEL_IDS if label_id not in id_map]
        self.LABELS = dict(
            semseg=dict(
                type='IdMapReader', dir=f'gtFine/{split}', suffix='_gtFine_labelIds.png', id_map=id_map, ignore=ignore
            ),
            depth=dict(type='DisparityReader', dir=f'disparity/{split}', camera_dir=self.camera_dir),
            normals=None,
        )
        data_prefix = data_prefix or dict(img=f'leftImg8bit/{split}')
        super().__init__(data_root, *args, data_prefix=data_prefix, missing_labels=missing_labels, **kwargs)

    def get_data_info(self, idx: int) -> dict:
        """Also ``intrinsics`` and ``ori_intrinsics``, (fx, fy, u0, v0) in pixels, where there is a camera file."""
        info = super().get_data_info(idx)
        path = os.path.join(self.data_root, self.camera_dir, info['sample_id'] + '_camera.json')
        if not os.path.exists(path):
            return info
        camera = read_camera(path)
        intrinsics = tuple(camera[name] for name in ('fx', 'fy', 'u0', 'v0'))
        return dict(info, camera_path=path, intrinsics=intrinsics, ori_intrinsics=intrinsics)
