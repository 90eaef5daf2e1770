"""Depth from the disparity of a stereo camera."""

import os

import numpy as np

from mlore_mm.datasets.image_io import read_png
from mlore_mm.datasets.intrinsics import read_camera
from mlore_mm.datasets.label_readers.base import LabelReader, expect_map
from mlore_mm.registry import LABEL_READERS


@LABEL_READERS.register_module()
class DisparityReader(LabelReader):
    """Metres, baseline * fx / disparity, from a 16-bit PNG and the JSON file of the camera; 0 without a reading.

    A grey value p is the disparity (p - 1) / 256 in pixels; 0 marks none, and neither does 1, which is infinitely far.
    Source: the layout of Cityscapes (Cordts et al., CVPR 2016).

    Args:
        dir: See ``LabelReader``, as are the arguments not named here.
        camera_dir: Folder of the camera files.
        camera_suffix: What follows the sample id in their names.
    """

    def __init__(
        self,
        dir: str,
        suffix: str = '_disparity.png',
        camera_dir: str = 'camera',
        camera_suffix: str = '_camera.json',
        **kwargs,
    ) -> None:
        super().__init__(dir, suffix, **kwargs)
        self.camera_dir, self.camera_suffix = str(camera_dir), camera_suffix

    def paths(self, root: str, sample_id: str) -> tuple[str, ...]:
        camera = os.path.join(root, self.camera_dir, sample_id + self.camera_suffix)
        return (*super().paths(root, sample_id), camera)

    def read(self, path: str, camera_path: str) -> np.ndarray:
        values = expect_map(read_png(path), path)
        if values.dtype != np.uint16:
            raise ValueError(f'{path} has {8 * values.dtype.itemsize} bits per pixel, expected a disparity of 16 bits.')
        camera = read_camera(camera_path)
        disparity = np.maximum(values.astype(np.float32) - 1, 0) / 256
        metres = np.float32(camera['baseline'] * camera['fx']) / np.where(disparity > 0, disparity, 1)
        return np.where(disparity > 0, metres, 0).astype(np.float32)
