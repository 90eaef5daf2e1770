import os
import shutil

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from mlore_mm.datasets.baking import bake, bake_sample
from tests.shared import REPO
from tests.test_datasets.archives import annotation, write_mat
from tests.test_datasets.golden import build_dataset, run_stage

ID = '2008_000007'


@pytest.fixture
def root(tmp_path):
    shutil.copytree(REPO / 'tests/data/pascal', tmp_path, dirs_exist_ok=True)
    return tmp_path


def labels(root):
    return run_stage(build_dataset('pascal', root, 'train'), 0, 'raw', 'pascal')


def test_baked_labels_read_to_the_same_arrays(root):
    before = labels(root)
    assert list(bake(str(root), [ID], workers=1)) == [(ID, [], 3)]
    for folder in ('human_parts', 'pascal-context', 'normals_distill'):  # so that nothing else can be read
        shutil.rmtree(root / folder)
    after = labels(root)
    for name, array in before.items():
        assert array.dtype == after[name].dtype
        assert_array_equal(after[name], array, err_msg=name)


def test_parts_of_one_kind_are_not_taken_for_a_mask(root):
    mask = np.zeros((94, 160), dtype=np.uint8)
    mask[20:50, 30:60] = 1
    write_mat(root / f'human_parts/{ID}.mat', anno=annotation((15, mask, [('head', mask)])))
    bake_sample(str(root), ID)
    assert_array_equal(labels(root)['human_parts'][..., 0], mask)


def test_only_what_is_out_of_date_is_baked_again(root):
    assert bake_sample(str(root), ID)[2] == 3
    assert bake_sample(str(root), ID)[2] == 0
    newer = os.path.getmtime(root / f'baked/edge/{ID}.png') + 10
    os.utime(root / f'pascal-context/trainval/{ID}.mat', (newer, newer))
    assert bake_sample(str(root), ID)[2] == 2  # edges and normals are made from it
    assert bake_sample(str(root), ID, tasks=('human_parts',), overwrite=True)[2] == 1


def test_broken_sources_are_named_and_leave_nothing_behind(root):
    (root / f'human_parts/{ID}.mat').write_bytes(b'broken')
    (root / f'normals_distill/{ID}.png').unlink()
    _, problems, written = bake_sample(str(root), ID)
    assert written == 1
    assert f'human_parts/{ID}.mat cannot be read as a MATLAB file' in problems[0]
    assert f'Cannot read {root}/normals_distill/{ID}.png' in problems[1]
    assert sorted(os.listdir(root / 'baked')) == ['edge']
    assert os.listdir(root / 'baked/edge') == [f'{ID}.png']


def test_several_processes_give_results_in_order(root):
    assert [name for name, _, _ in bake(str(root), [ID] * 3, workers=2)] == [ID] * 3
