"""Arrays of the published data pipeline, equal to the last bit.

The whole set is read where it is at hand; ``tests/data`` holds one sample of each data set, see the README there.
"""

import json
import zlib

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from tests.shared import REPO, shared_path
from tests.test_datasets.golden import TASKS, build_dataset, run_stage

FOLDERS = dict(nyud='NYUDv2', pascal='PASCALContext')


@pytest.mark.parametrize('split', ['train', 'val'])
@pytest.mark.parametrize('name', ['nyud', 'pascal'])
def test_every_stage_equals_the_published_pipeline(name, split):
    root = shared_path('golden/data')
    expected = np.load(root / 'expected.npz')
    dataset = build_dataset(name, root / FOLDERS[name], split)
    checked = 0
    for index in range(len(dataset)):
        prefix = f'{name}/{split}/{dataset.get_data_info(index)["sample_id"]}/'
        stages = sorted({key.split('/')[3] for key in expected.files if key.startswith(prefix)})
        for stage in stages:
            arrays = run_stage(dataset, index, stage, name)
            for target in ('image', *TASKS[name]):
                wanted = expected[f'{prefix}{stage}/{target}']
                assert_array_equal(arrays[target].astype(wanted.dtype), wanted, err_msg=f'{prefix}{stage}/{target}')
                checked += 1
    assert checked == dict(nyud=2 * 4 * 5, pascal=3 * 4 * 6)[name]


@pytest.mark.parametrize('name', ['nyud', 'pascal'])
def test_one_sample_in_the_repository_equals_the_published_pipeline(name):
    root = REPO / 'tests/data' / name
    dataset = build_dataset(name, root, 'train')
    expected = json.loads((root / 'expected.json').read_text())
    assert len(expected) == 4 * (1 + len(TASKS[name]))
    for key, wanted in expected.items():
        stage, target = key.split('/')
        array = run_stage(dataset, 0, stage, name)[target].astype(np.float32)
        packed = stage == 'val' or 'crop' in stage
        sample = array[:, 3::16, 5::16] if packed else array[3::16, 5::16]
        assert list(array.shape) == wanted['shape'], key
        # Scaling a photo may differ in the last bit between builds of OpenCV, then by 1 where it is cut to bytes.
        image_tolerance = 1 if stage.startswith('scaled') else 1e-2
        tolerance = image_tolerance if target == 'image' else 1e-6
        assert_allclose(sample.ravel(), wanted['sample'], rtol=0, atol=tolerance, err_msg=key)
        if target != 'image':
            assert zlib.crc32(np.ascontiguousarray(array + 0).tobytes()) == wanted['crc32'], key


def test_images_of_the_repository_are_compared_in_full_before_scaling():
    for name in ('nyud', 'pascal'):
        root = REPO / 'tests/data' / name
        wanted = json.loads((root / 'expected.json').read_text())['raw/image']['crc32']
        image = run_stage(build_dataset(name, root, 'train'), 0, 'raw', name)['image'].astype(np.float32)
        assert zlib.crc32(np.ascontiguousarray(image).tobytes()) == wanted
