"""Arrays of the published data pipeline, equal to the last bit.

The whole set is read where it is at hand; ``tests/data`` holds a small part of it, see the README there.
"""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from tests.shared import shared_path
from tests.test_datasets.golden import TASKS, build_dataset, run_stage

FOLDERS = dict(nyud='NYUDv2', pascal='PASCALContext')


def check_stages(expected, folder, name, split):
    dataset = build_dataset(name, folder, split)
    checked = 0
    for index in range(len(dataset)):
        prefix = f'{name}/{split}/{dataset.get_data_info(index)["sample_id"]}/'
        stages = sorted({key.split('/')[3] for key in expected if key.startswith(prefix)})
        assert len(stages) == 4
        for stage in stages:
            arrays = run_stage(dataset, index, stage, name)
            for target in ('image', *TASKS[name]):
                wanted = expected[f'{prefix}{stage}/{target}']
                assert_array_equal(arrays[target].astype(wanted.dtype), wanted, err_msg=f'{prefix}{stage}/{target}')
                checked += 1
    return checked


@pytest.mark.parametrize('split', ['train', 'val'])
@pytest.mark.parametrize('name', ['nyud', 'pascal'])
def test_every_stage_equals_the_published_pipeline(name, split):
    root = shared_path('golden/data')
    expected = np.load(root / 'expected.npz')
    checked = check_stages({key: expected[key] for key in expected.files}, root / FOLDERS[name], name, split)
    assert checked == dict(nyud=2 * 4 * 5, pascal=3 * 4 * 6)[name]
