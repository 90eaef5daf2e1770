import shutil

import numpy as np
import pytest

from mlore_mm.datasets.baking import BAKED_TASKS, bake_sample
from mlore_mm.datasets.checking import ARCHIVES, check_sample, check_samples, check_splits, inspect_sample
from tests.shared import REPO
from tests.test_datasets.archives import write_image, write_npy

IDS = dict(nyud='0007', pascal_context='2008_000007')
FOLDERS = dict(nyud='nyud', pascal_context='pascal')


@pytest.fixture(params=['nyud', 'pascal_context'])
def name(request):
    return request.param


@pytest.fixture
def root(tmp_path, name):
    shutil.copytree(REPO / 'tests/data' / FOLDERS[name], tmp_path, dirs_exist_ok=True)
    return tmp_path


def test_a_sound_sample_has_no_problem(root, name):
    assert check_sample(str(root), ARCHIVES[name], IDS[name]) == []
    assert list(check_samples(str(root), ARCHIVES[name], [IDS[name]] * 2, workers=2)) == [[], []]


def test_splits_are_counted(root, name):
    ids, problems = check_splits(str(root), ARCHIVES[name], ['train', 'val'])
    assert ids == dict(train=[IDS[name]])
    assert problems[0] == f"Split 'train' lists 1 samples; the published one has {ARCHIVES[name].counts['train']}."
    assert 'Cannot read the split file' in problems[1]
    assert check_splits(str(root), ARCHIVES[name], ['train'], count=False)[1] == []


def test_splits_do_not_overlap(root, name):
    train, val = (root / ARCHIVES[name].split_file.format(split) for split in ('train', 'val'))
    shutil.copy(train, val)
    _, problems = check_splits(str(root), ARCHIVES[name], ['train', 'val'], count=False)
    assert problems == [f"Split 'val' shares 1 samples with another one, {IDS[name]} for instance."]


@pytest.mark.parametrize('name', ['nyud'], indirect=True)
def test_every_broken_file_is_named_once(root):
    write_image(root / 'segmentation/0007.png', np.full((106, 140), 41, dtype=np.uint8))
    write_image(root / 'edge/0007.png', np.zeros((100, 140), dtype=np.uint8))
    write_npy(root / 'depth/0007.npy', np.full((106, 140), -1.0))
    (root / 'normals/0007.png').unlink()
    problems = check_sample(str(root), ARCHIVES['nyud'], '0007')
    assert len(problems) == 4
    for problem, message in zip(
        problems,
        (
            'segmentation/0007.png: class ids 0 to 39 or 255 (ignore) expected, found [40]',
            'depth/0007.npy: metres >= 0 expected',
            "No label of task 'normals': expected",
            'edge/0007.png is 100x140 (HxW), but its image',
        ),
        strict=True,
    ):
        assert message in problem
    (root / 'images/0007.png').write_bytes(b'x')
    assert len(check_sample(str(root), ARCHIVES['nyud'], '0007')) == 1


@pytest.mark.parametrize('name', ['pascal_context'], indirect=True)
def test_baked_files_are_checked_beside_the_originals(root):
    bake_sample(str(root), '2008_000007')
    (root / 'baked/edge/2008_000007.png').write_bytes(b'x')
    (root / 'human_parts/2008_000007.mat').write_bytes(b'x')
    problems = check_sample(str(root), ARCHIVES['pascal_context'], '2008_000007')
    assert ['human_parts/2008_000007.mat' in problems[0], 'baked/edge/2008_000007.png' in problems[1]] == [True, True]
    assert len(problems) == 2


def test_a_missing_root_is_named(name, tmp_path):
    with pytest.raises(ValueError, match='The root .*none.* does not exist'):
        list(check_samples(str(tmp_path / 'none'), ARCHIVES[name], ['x'], workers=1))


def test_what_labels_hold_comes_from_the_file_that_training_takes(root, name):
    problems, surveys = inspect_sample(str(root), ARCHIVES[name], IDS[name])
    assert problems == []
    assert list(surveys) == list(ARCHIVES[name].tasks)
    assert {survey.statistics.images for survey in surveys.values()} == {1}
    assert [survey.missing for survey in surveys.values()] == [0] * len(surveys)
    if name == 'pascal_context':
        bake_sample(str(root), IDS[name])
        again = inspect_sample(str(root), ARCHIVES[name], IDS[name])[1]
        readers = {task: (type(a.reader), type(again[task].reader)) for task, a in surveys.items()}
        assert {task for task, (before, after) in readers.items() if before != after} == {*BAKED_TASKS}
        assert {task: s.statistics.values() for task, s in surveys.items()} == {
            task: s.statistics.values() for task, s in again.items()
        }


def test_published_splits_have_their_sizes():
    assert ARCHIVES['nyud'].counts == dict(train=795, val=654)
    assert ARCHIVES['pascal_context'].counts == dict(train=4998, val=5105)
