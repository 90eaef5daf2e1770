import json

import numpy as np
import pytest
import torch
from mmengine.registry import init_default_scope
from torch.testing import assert_close

from mlore_mm.datasets import CachedFeaturesDataset
from mlore_mm.datasets.cached_features import data_recipe, pack_sample, sample_keys, unpack_sample
from mlore_mm.registry import DATASETS
from mlore_mm.utils.feature_store import FeatureStore, FeatureStoreError
from mlore_mm.utils.seeding import SeededIndex, seed_all
from tests.test_datasets.archives import LABELS, TASKS, write_archive, write_image

PIPELINE = [
    dict(type='LoadMultiTaskImage'),
    dict(type='LoadMultiTaskLabels'),
    dict(type='MultiTaskRandomScale', ratio_range=(0.5, 2.0)),
    dict(type='MultiTaskRandomCrop', crop_size=(10, 12), cat_max_ratio=0.75),
    dict(type='MultiTaskRandomFlip'),
    dict(type='CentrePad', size=(10, 12)),
    dict(type='MarkIgnore'),
    dict(type='PackMultiTaskInputs'),
]
AUGMENTATIONS = 3


@pytest.fixture(autouse=True)
def scope():
    init_default_scope('mlore_mm')


def config(root, tasks=('semseg', 'depth', 'normals'), pipeline=PIPELINE, **options):
    return dict(
        type='MultiTaskDataset',
        data_root=str(root),
        metainfo=dict(tasks={name: TASKS[name] for name in tasks}),
        labels=LABELS,
        img_suffix='.png',
        pipeline=pipeline,
        **options,
    )


def fill(root, folder):
    """The mean colour of an image stands for its features; returns what the pipeline gave."""
    cfg = config(root)
    dataset = DATASETS.build(cfg)
    store = FeatureStore.create(folder / 'train', data_recipe(dataset, cfg), sample_keys(dataset), AUGMENTATIONS)
    seen = {}
    for k, row in store.missing:
        seed_all(10 * k + row)
        seen[k, row] = dataset[SeededIndex(row, 10 * k + row)]
    store.append({place: pack_sample(data, [features_of(data)]) for place, data in seen.items()})
    return seen


def features_of(data):
    return data['inputs'].float().mean((1, 2)).half()[:, None, None]


@pytest.fixture
def filled(tmp_path):
    root = write_archive(tmp_path / 'data')
    return root, tmp_path / 'store', fill(root, tmp_path / 'store')


def test_labels_and_features_are_of_the_same_augmentation(filled):
    root, path, seen = filled
    dataset = CachedFeaturesDataset(config(root), str(path))
    drawn = set()
    for index in range(3):
        for seed in range(5):
            data = dataset[SeededIndex(index, seed)]
            wanted = seen[seed % AUGMENTATIONS, index]
            drawn.add((seed % AUGMENTATIONS, index))
            assert_close(data['features'][0], features_of(wanted), rtol=0, atol=0)
            for name, target in wanted['data_samples'].gt.items():
                assert_close(getattr(data['data_samples'].gt, name), target, rtol=0, atol=0)
            assert data['inputs'].shape == wanted['inputs'].shape
            assert data['data_samples'].metainfo == wanted['data_samples'].metainfo
    assert len(drawn) == 9
    ways = {tuple(seen[k, 0]['data_samples'].gt.depth.flatten().tolist()) for k in range(AUGMENTATIONS)}
    assert len(ways) == AUGMENTATIONS  # the comparison would notice another augmentation


def test_some_samples_and_tasks_of_the_store(filled):
    root, path, seen = filled
    dataset = CachedFeaturesDataset(config(root, tasks=('depth',), indices=[2]), str(path), augmentations=1)
    sample = dataset[SeededIndex(0, 5)]['data_samples']
    assert len(dataset) == 1
    assert sample.gt.keys() == ['depth']
    assert_close(sample.gt.depth, seen[0, 2]['data_samples'].gt.depth)


def test_without_seeds_every_augmentation_comes(filled):
    root, path, _ = filled
    dataset = CachedFeaturesDataset(config(root), str(path))
    torch.manual_seed(0)
    assert len({tuple(dataset[0]['features'][0].flatten().tolist()) for _ in range(30)}) == AUGMENTATIONS


def changed_file(root):
    write_image(root / 'normals/b.png', np.zeros((12, 16, 3), np.uint8))
    return config(root)


def changed_task(root):
    cfg = config(root)
    cfg['metainfo'] = dict(tasks=dict(cfg['metainfo']['tasks'], depth=dict(type='Depth', ignore_value=-1)))
    return cfg


@pytest.mark.parametrize(
    ('change', 'named'),
    [
        (lambda root: config(root, pipeline=PIPELINE[:2] + PIPELINE[3:]), 'pipeline'),
        (changed_file, 'files: normals of sample b have changed'),
        (changed_task, 'tasks.depth.definition.ignore_value: None in the store, -1'),
        (lambda root: config(write_archive(root, ids=('d',))), 'samples: 1 of 4 are not in the store, such as d'),
    ],
)
def test_other_data_is_refused_or_passed_through(filled, change, named):
    root, path, _ = filled
    cfg = change(root)
    with pytest.raises(FeatureStoreError, match=named):
        CachedFeaturesDataset(cfg, str(path))
    through = CachedFeaturesDataset(cfg, str(path), required=False)
    assert 'features' not in through[0]
    assert through.store is None


def test_weights_and_classes_of_a_task_do_not_matter(filled):
    root, path, _ = filled
    cfg = config(root)
    cfg['metainfo'] = dict(tasks=dict(cfg['metainfo']['tasks'], depth=dict(type='Depth', loss_weight=7.0)))
    assert 'features' in CachedFeaturesDataset(cfg, str(path))[0]


def test_more_augmentations_than_there_are(filled):
    root, path, _ = filled
    for number in (0, -1):
        with pytest.raises(ValueError, match=f'augmentations is a number from 1 on or None, but got {number}'):
            CachedFeaturesDataset(config(root), str(path), augmentations=number)
    with pytest.raises(FeatureStoreError, match='augmentations=4, but the store .* has 3'):
        CachedFeaturesDataset(config(root), str(path), augmentations=4)


def test_an_unfinished_store_is_refused(filled):
    root, path, _ = filled
    about = path / 'train/store.json'
    about.write_text(json.dumps(dict(json.loads(about.read_text()), augmentations=4)))
    with open(path / 'train/index.bin', 'ab') as file:
        file.write(bytes(24 * 3))
    with pytest.raises(FeatureStoreError, match='3 of 12 records are missing'):
        CachedFeaturesDataset(config(root), str(path))


def test_the_first_folder_that_fits_is_taken(filled):
    root, path, seen = filled
    other = config(root, pipeline=PIPELINE[:2] + PIPELINE[3:])
    dataset = DATASETS.build(other)
    FeatureStore.create(path / 'other', data_recipe(dataset, other), sample_keys(dataset), 1)
    for splits in (('none', 'other', 'train'), ('train', 'other')):
        found = CachedFeaturesDataset(config(root), str(path), splits=splits)
        assert found.store.folder == path / 'train'
    with pytest.raises(FeatureStoreError, match='(?s)other was made by something else.*- pipeline'):
        CachedFeaturesDataset(config(root), str(path), splits=('none', 'other'))
    with pytest.raises(FeatureStoreError, match='There is no store of features in .*none'):
        CachedFeaturesDataset(config(root), str(path), splits=('none',))


def test_indices_wrap_around_and_paths_are_those_of_today(filled):
    root, path, seen = filled
    dataset = CachedFeaturesDataset(config(root), str(path), augmentations=1)
    today = dict(img_path='moved', label_paths=dict(depth='d'))
    dataset.dataset.get_data_info = lambda index: dict(today, index=index)
    sample = dataset[SeededIndex(-1, 5)]['data_samples']
    assert (sample.sample_id, sample.img_path, sample.label_paths) == ('c', 'moved', dict(depth='d'))
    state = torch.get_rng_state()
    assert torch.equal(dataset[0]['data_samples'].gt.depth, seen[0, 0]['data_samples'].gt.depth)
    assert torch.equal(torch.get_rng_state(), state)  # nothing to choose from


def test_what_comes_twice_is_numbered(filled):
    root, path, seen = filled
    twice = DATASETS.build(dict(type='RepeatDataset', times=2, dataset=config(root)))
    assert sample_keys(twice) == ['a', 'b', 'c', 'a#2', 'b#2', 'c#2']
    data = seen[0, 0]
    data['data_samples'].set_metainfo(dict(batch_input_shape=(9, 9), own_shape=(8, 8)))
    record = np.frombuffer(pack_sample(data, [torch.ones(2, 3, 4), torch.zeros(1)]), np.uint8)
    again = unpack_sample(record, ['depth'])
    assert not {'batch_input_shape', 'own_shape'} & set(again['data_samples'].metainfo_keys())
    assert [tuple(x.shape) for x in again['features']] == [(2, 3, 4), (1,)]
    assert (again['inputs'].shape, again['inputs'].dtype) == (data['inputs'].shape, torch.uint8)
