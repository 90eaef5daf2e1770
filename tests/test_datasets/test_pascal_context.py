"""The layout of PASCAL-Context; the values are compared in test_golden.py."""

import shutil

import numpy as np
import pytest

from tests.shared import REPO
from tests.test_datasets.archives import write_image
from tests.test_datasets.golden import build_dataset

ID = '2008_000007'


@pytest.fixture
def root(tmp_path):
    shutil.copytree(REPO / 'tests/data/pascal', tmp_path, dirs_exist_ok=True)
    return tmp_path


def files(root):
    return build_dataset('pascal', root, 'train').get_data_info(0)


def test_semantic_labels_come_from_voc_or_else_from_the_context(root):
    assert files(root)['label_paths']['semseg'].endswith(f'semseg/pascal-context/{ID}.png')
    write_image(root / f'semseg/VOC12/{ID}.png', np.zeros((94, 160), dtype=np.uint8))
    assert files(root)['label_paths']['semseg'].endswith(f'semseg/VOC12/{ID}.png')


def test_baked_labels_are_preferred_but_metrics_read_the_original(root):
    original = f'pascal-context/trainval/{ID}.mat'
    assert files(root)['label_files']['edge'][1][0].endswith(original)
    write_image(root / f'baked/edge/{ID}.png', np.zeros((94, 160), dtype=np.uint8))
    info = files(root)
    assert info['label_files']['edge'][1][0].endswith(f'baked/edge/{ID}.png')
    assert info['label_paths']['edge'].endswith(original)


def test_normals_need_the_context_file_as_well(root):
    (root / f'pascal-context/trainval/{ID}.mat').unlink()
    with pytest.raises(ValueError, match=r"1 of 1 labels of task 'normals' are missing, .*normals_distill/\*.png \+ "):
        build_dataset('pascal', root, 'train')


def test_missing_labels_can_be_allowed(root):
    shutil.rmtree(root / 'human_parts')
    with pytest.raises(ValueError, match="labels of task 'human_parts' are missing"):
        build_dataset('pascal', root, 'train')
    assert (
        build_dataset('pascal', root, 'train', missing_labels='ignore').get_data_info(0)['label_paths']['human_parts']
        is None
    )
