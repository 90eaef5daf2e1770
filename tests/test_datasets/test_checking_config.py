import numpy as np
import pytest
from mmengine.config import Config

from mlore_mm.datasets.checking_config import (
    check_dataset,
    count_labels,
    inspect_dataset,
    open_datasets,
    open_datasets_one_by_one,
    survey_sample,
)
from tests.test_datasets.archives import LABELS, TASKS, write_archive, write_image


def config(root, **changes):
    dataset = dict(type='MultiTaskDataset', data_root=str(root), labels=LABELS, img_suffix='.png', **changes)
    wrapped = dict(type='RepeatDataset', times=5, dataset=dict(dataset, pipeline=[dict(type='NoSuchTransform')]))
    return Config(dict(tasks=TASKS, train_dataloader=dict(dataset=wrapped)))


@pytest.mark.parametrize('workers', [0, 2])
def test_every_problem_is_listed_once(tmp_path, workers):
    write_archive(tmp_path)
    write_image(tmp_path / 'labels/a.png', np.full((12, 16), 7, dtype=np.uint8))
    write_image(tmp_path / 'normals/b.png', np.zeros((11, 16, 3), dtype=np.uint8))
    (tmp_path / 'depth/b.npy').unlink()
    (tmp_path / 'images/c.png').write_bytes(b'')
    (dataset,) = open_datasets(config(tmp_path, missing_labels='raise'), 'train')
    assert count_labels(dataset) == dict(semseg=3, depth=2, normals=3)
    first, second, third = check_dataset(dataset, workers)
    assert first == [
        f"Label of task 'semseg' in {tmp_path}/labels/a.png: class ids 0 to 4 or 255 (ignore) expected, found [7]."
    ]
    assert second[0] == f"No label of task 'depth': expected {tmp_path}/depth/b.npy."
    assert 'normals/b.png is 11x16 (HxW), but its image' in second[1]
    assert len(second) == 2
    assert len(third) == 1
    assert 'images/c.png is empty' in third[0]


def test_labels_may_be_missing_where_the_config_says_so(tmp_path):
    write_archive(tmp_path)
    (tmp_path / 'depth/b.npy').unlink()
    (dataset,) = open_datasets(config(tmp_path), 'train')
    assert list(check_dataset(dataset, 0)) == [[], [], []]


def test_a_config_without_the_split_is_an_error(tmp_path):
    with pytest.raises(ValueError, match='has no val_dataloader'):
        open_datasets(config(tmp_path), 'val')


@pytest.mark.parametrize(('samples', 'looked_at'), [(1, [0]), (2, [0, 2]), (3, [0, 1, 2]), (99, [0, 1, 2])])
def test_a_sample_is_taken_evenly_from_first_to_last(tmp_path, monkeypatch, samples, looked_at):
    write_archive(tmp_path)
    (dataset,) = open_datasets(config(tmp_path), 'train')
    seen, inner = [], dataset.get_data_info
    monkeypatch.setattr(dataset, 'get_data_info', lambda index: seen.append(index) or inner(index))
    assert set(survey_sample(dataset, samples)) == set(TASKS)
    assert seen == looked_at


def test_every_list_that_cannot_be_opened_is_told(tmp_path):
    write_archive(tmp_path / 'good')
    cfg = config(tmp_path / 'good')
    good = cfg.train_dataloader.dataset
    bad = [dict(good.dataset, data_root=str(tmp_path / name)) for name in ('none', 'nothing')]
    cfg.train_dataloader.dataset = dict(type='ConcatDataset', datasets=[bad[0], good, bad[1]])
    datasets, problems = open_datasets_one_by_one(cfg, 'train')
    assert [dataset.data_root for dataset in datasets] == [str(tmp_path / 'good')]
    assert sorted('nothing' in problem for problem in problems) == [False, True]
    assert open_datasets_one_by_one(cfg, 'val') == ([], ['The config  has no val_dataloader.'])


def test_missing_labels_are_counted_in_either_case(tmp_path):
    write_archive(tmp_path)
    (tmp_path / 'depth/b.npy').unlink()
    write_image(tmp_path / 'labels/b.png', np.full((12, 16), 7, dtype=np.uint8))
    for options in ({}, dict(missing_labels='raise')):
        (dataset,) = open_datasets(config(tmp_path, **options), 'train')
        assert dataset.missing_labels == options.get('missing_labels', 'ignore')
        surveys = [found for _, found in inspect_dataset(dataset, 0)]
        assert [found['depth'].missing for found in surveys] == [0, 1, 0]
        assert ['semseg' in found for found in surveys] == [True, False, True]
        assert surveys[0]['depth'].statistics.images == 1
        assert surveys[0]['depth'].alignment.images == 1
    unlabelled = config(tmp_path, missing_labels='raise')
    unlabelled.train_dataloader.dataset.dataset.labels.depth = None
    (dataset,) = open_datasets(unlabelled, 'train')
    assert list(check_dataset(dataset, 0))[1][0].startswith("Label of task 'semseg'")


def test_a_sample_leaves_out_what_cannot_be_read(tmp_path):
    write_archive(tmp_path)
    write_image(tmp_path / 'labels/b.png', np.full((12, 16), 7, dtype=np.uint8))
    (tmp_path / 'depth/c.npy').unlink()
    (tmp_path / 'images/a.png').write_bytes(b'not looked at')
    (dataset,) = open_datasets(config(tmp_path), 'train')
    surveys = survey_sample(dataset)
    assert {name: survey.statistics.images for name, survey in surveys.items()} == dict(semseg=2, depth=2, normals=3)
