"""The layout of NYUD-v2; the values are compared in test_golden.py."""

import shutil

import numpy as np
import pytest

from mlore_mm.datasets import NYUDMTDataset
from mlore_mm.datasets.transforms import LoadMultiTaskImage, LoadMultiTaskLabels
from tests.shared import REPO
from tests.test_datasets.archives import write_image
from tests.test_datasets.golden import TASKS, build_dataset


@pytest.fixture
def root(tmp_path):
    shutil.copytree(REPO / 'tests/data/nyud', tmp_path, dirs_exist_ok=True)
    return tmp_path


def test_background_is_ignored_and_classes_start_at_zero(root):
    write_image(root / 'segmentation/0007.png', np.array([[0, 1], [40, 40]], np.uint8).repeat(53, 0).repeat(70, 1))
    results = LoadMultiTaskLabels()(LoadMultiTaskImage()(build_dataset('nyud', root, 'train').get_data_info(0)))
    assert results['targets']['semseg'][::60, ::80].tolist() == [[255, 0], [39, 39]]


def test_every_label_has_to_be_there(root):
    (root / 'depth/0007.npy').unlink()
    with pytest.raises(ValueError, match=r"1 of 1 labels of task 'depth' are missing, expected .*depth/\*.npy: 0007"):
        build_dataset('nyud', root, 'train')


def test_the_archive_of_family_a(root):
    """Photos as JPEG, and vectors and boundaries as arrays; what is not there so is read as in the other archive."""
    sample = build_dataset('nyud', root, 'train').get_data_info(0)
    plain = LoadMultiTaskLabels()(LoadMultiTaskImage()(sample))['targets']
    image = np.full((*plain['depth'].shape, 3), 90, np.uint8)
    write_image(root / 'images/0007.jpg', image)
    normals = np.full((*plain['depth'].shape, 3), (0.0, 0.6, -0.8), np.float32)
    np.save(root / 'normals/0007.npy', normals)
    np.save(root / 'edge/0007.npy', np.eye(*plain['depth'].shape, dtype=np.uint8))
    dataset = NYUDMTDataset(str(root), 'gt_sets/train.txt', dict(tasks=TASKS['nyud']), pipeline=[])
    results = LoadMultiTaskLabels()(LoadMultiTaskImage()(dataset.get_data_info(0)))
    assert np.abs(results['img'].astype(int) - 90).max() < 3
    np.testing.assert_array_equal(results['targets']['normals'], normals)
    np.testing.assert_array_equal(results['targets']['edge'], np.eye(*plain['depth'].shape))
    for name in ('semseg', 'depth'):
        np.testing.assert_array_equal(results['targets'][name], plain[name])
