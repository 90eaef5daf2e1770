"""The seed of a sample's augmentation through every wrapper."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.registry import init_default_scope
from torch.utils.data import DataLoader, Dataset

from mlore_mm.datasets import ClassBalancedDataset, ResumableSampler, SeededDataset, wrappers
from mlore_mm.registry import DATASETS
from mlore_mm.utils.seeding import SeededIndex, seed_all
from tests.test_datasets.archives import LABELS, TASKS, build, write_archive, write_image

STEPS = ('LoadMultiTaskImage', 'LoadMultiTaskLabels', 'MultiTaskRandomScale', 'MultiTaskRandomFlip')
PIPELINE = [dict(type=x) for x in (*STEPS, 'PhotoMetricDistortion', 'PackMultiTaskInputs')]


class Odd(Dataset):
    """A wrapper as users write them: by a table, with chance of its own, and two samples for one."""

    def __init__(self, dataset):
        self.dataset, self.table = dataset, np.arange(len(dataset))[::-1]

    def __len__(self):
        return len(self.table)

    def __getitem__(self, index):
        one = self.dataset[self.table[index]]
        other = self.dataset[int(np.random.randint(len(self)))]  # noqa: NPY002
        return dict(inputs=one['inputs'].float().mean() + other['inputs'].float().mean())


def repeat(x, times=2):
    return dict(type='RepeatDataset', times=times, dataset=x)


def concat(*parts):
    return dict(type='ConcatDataset', datasets=list(parts))


def balanced(x):
    return dict(type='ClassBalancedDataset', oversample_thr=0.5, dataset=x)


WRAPPERS = {
    'repeat': lambda x: repeat(x, 3),
    'concat': lambda x: concat(x, x),
    'nested': lambda x: concat(repeat(x), concat(x, repeat(x))),
    'balanced': balanced,
    'balanced inside': lambda x: repeat(concat(balanced(x), x)),
}


@pytest.fixture
def leaf(tmp_path):
    write_archive(tmp_path)
    init_default_scope('mlore_mm')
    options = dict(data_root=str(tmp_path), metainfo=dict(tasks=TASKS), labels=LABELS, img_suffix='.png')
    return dict(type='MultiTaskDataset', pipeline=PIPELINE, **options)


@pytest.fixture
def dataset(leaf):
    return DATASETS.build(leaf)


@pytest.mark.parametrize('kind', WRAPPERS)
def test_the_same_index_and_seed_give_the_same_sample(leaf, kind):
    wrapper = DATASETS.build(WRAPPERS[kind](leaf))
    for index in range(0, len(wrapper), 2):
        found = []
        for other in (1, 2):
            seed_all(other)
            found.append(wrapper[SeededIndex(index, 5)]['inputs'])
        assert torch.equal(*found)
    first, second = (wrapper[SeededIndex(0, seed)]['inputs'] for seed in (5, 6))
    assert not torch.equal(first, second) if first.shape == second.shape else True


@pytest.mark.parametrize('kind', [*WRAPPERS, 'odd'])
@pytest.mark.parametrize('workers', [0, 1])
def test_a_resumed_stream_is_the_same_with_any_number_of_workers(leaf, kind, workers):
    wrapper = SeededDataset(Odd(DATASETS.build(leaf)) if kind == 'odd' else DATASETS.build(WRAPPERS[kind](leaf)))

    def batches(start, workers):
        sampler = ResumableSampler(wrapper, seed=3)
        sampler.skip(start)
        loader = DataLoader(wrapper, 1, sampler=sampler, num_workers=workers, collate_fn=lambda batch: batch[0])
        stream = iter(loader)
        return [next(stream)['inputs'] for _ in range(6 - start)]

    whole, resumed = batches(0, 0), batches(3, workers)
    assert all(torch.equal(a, b) for a, b in zip(whole[3:], resumed, strict=True))


def test_it_is_the_data_set_that_it_wraps(dataset):
    seeded = pickle.loads(pickle.dumps(SeededDataset(dataset)))
    assert len(seeded) == len(dataset)
    assert seeded.metainfo == dataset.metainfo
    assert seeded.get_data_info(0)['sample_id'] == dataset.get_data_info(0)['sample_id']


def test_classes_of_a_task_are_balanced(dataset):
    balanced = ClassBalancedDataset(dataset, oversample_thr=1.0)
    ids = [balanced.dataset.get_cat_ids(i) for i in range(len(dataset))]
    assert all(all(isinstance(x, int) for x in found) for found in ids)
    shares = {c: sum(c in found for found in ids) / len(ids) for found in ids for c in found}
    for index, found in enumerate(ids):
        factor = max([1.0, *((1 / shares[c]) ** 0.5 for c in found)])
        assert int(factor) <= balanced.repeat_indices.count(index) <= int(factor) + 1
    with pytest.raises(ValueError, match="task of class ids, but got task='depth'.*has"):
        ClassBalancedDataset(dataset, oversample_thr=0.5, task='depth')


def test_a_plain_index_seeds_nothing(dataset):
    seed_all(3)
    wanted = np.random.rand()  # noqa: NPY002
    for wrapper in (SeededDataset([7, 8]), SeededDataset(SeededDataset([7, 8]))):
        seed_all(3)
        assert wrapper[1] == 8
        assert np.random.rand() == wanted  # noqa: NPY002
        assert wrapper[SeededIndex(0, 5)] == 7
        assert np.random.rand() != wanted  # noqa: NPY002
    with pytest.raises(AttributeError, match='__nothing__'):
        _ = SeededDataset([]).__nothing__
    balanced = ClassBalancedDataset(dataset, oversample_thr=0.0)
    assert balanced[1]['data_samples'].sample_id == 'b'


def test_labels_are_read_once_and_the_marker_is_no_class(dataset, monkeypatch):
    (Path(dataset.data_root) / 'labels/c.png').unlink()
    path = write_image(Path(dataset.data_root) / 'labels/b.png', np.full((12, 16), 255, np.uint8))
    write_image(path.with_name('a.png'), np.repeat([[0, 3, 255, 255]], 12, axis=0).repeat(4, axis=1).astype(np.uint8))
    dataset = build(Path(dataset.data_root))
    read, inner = [], wrappers.read_label
    monkeypatch.setattr(wrappers, 'read_label', lambda *args: read.append(args) or inner(*args))
    balanced = ClassBalancedDataset(dataset, oversample_thr=0.0, lazy_init=True)
    assert read == []
    balanced.full_init()
    assert [balanced.dataset.get_cat_ids(i) for i in range(3)] == [[0, 3], [], []]
    assert len(read) == 2
    balanced.full_init()
    assert len(read) == 2
    assert all(type(x) is int for x in balanced.dataset.get_cat_ids(0))


def test_a_data_set_that_knows_its_classes_is_asked(dataset):
    class Knows(type(dataset)):
        def get_cat_ids(self, index):
            return [index]

    dataset.__class__ = Knows
    assert ClassBalancedDataset(dataset, oversample_thr=0.5).dataset is dataset
    with pytest.raises(ValueError, match='but got task=None; Odd has none'):
        wrappers._choose(Odd(dataset), None)
