from itertools import islice

import pytest
import torch
from torch.utils.data import DataLoader

from mlore_mm.datasets import ResumableSampler
from mlore_mm.utils.seeding import derive_seed
from tests.test_datasets.archives import build, write_archive


def take(sampler, number):
    return [(int(index), index.seed) for index in islice(iter(sampler), number)]


def test_every_pass_has_every_sample_in_another_order():
    drawn = [index for index, _ in take(ResumableSampler(range(6), seed=1), 18)]
    passes = [drawn[:6], drawn[6:12], drawn[12:]]
    assert [sorted(x) for x in passes] == [list(range(6))] * 3
    assert len({tuple(x) for x in passes}) == 3


def test_it_goes_on_from_any_place_of_any_pass():
    whole = take(ResumableSampler(range(5), seed=1), 40)
    for start in (0, 1, 5, 17, 30):
        sampler = ResumableSampler(range(5), seed=1)
        sampler.skip(start)
        assert take(sampler, 10) == whole[start : start + 10]
    assert take(ResumableSampler(range(5), seed=2), 40) != whole


def test_no_seed_comes_twice():
    assert len({seed for _, seed in take(ResumableSampler(range(3), seed=1), 500)}) == 500


@pytest.mark.parametrize('processes', [2, 3])
def test_processes_share_one_stream(processes):
    whole = take(ResumableSampler(range(5), seed=1), 24)
    parts = []
    for rank in range(processes):
        sampler = ResumableSampler(range(5), seed=1)
        sampler.rank, sampler.world_size = rank, processes
        parts.append(take(sampler, 24 // processes))
    assert [pair for group in zip(*parts, strict=True) for pair in group] == whole


def test_in_order_where_not_shuffled():
    assert [index for index, _ in take(ResumableSampler(range(3), shuffle=False, seed=1), 7)] == [0, 1, 2, 0, 1, 2, 0]


def test_wrong_use_is_named():
    with pytest.raises(ValueError, match='no sample. Check `ann_file`'):
        ResumableSampler([])
    with pytest.raises(ValueError, match='at least 0, but got -1'):
        ResumableSampler([0]).skip(-1)


def test_augmentation_follows_the_position_and_not_the_workers(tmp_path):
    steps = ('LoadMultiTaskImage', 'LoadMultiTaskLabels', 'MultiTaskRandomScale', 'MultiTaskRandomFlip')
    pipeline = [dict(type=x) for x in (*steps, 'PhotoMetricDistortion', 'PackMultiTaskInputs')]
    dataset = build(write_archive(tmp_path), pipeline=pipeline)

    def batches(workers, start):
        sampler = ResumableSampler(dataset, seed=3)
        sampler.skip(start)
        loader = DataLoader(dataset, 1, sampler=sampler, num_workers=workers, collate_fn=lambda batch: batch[0])
        return [x['inputs'] for x in islice(iter(loader), 8 - start)]

    alone, workers = batches(0, 0), batches(2, 5)
    assert len({tuple(x.shape) for x in alone}) > 4
    assert all(torch.equal(a, b) for a, b in zip(alone[5:], workers, strict=True))


@pytest.mark.parametrize(('processes', 'length'), [(1, 5), (2, 3), (5, 1)])
def test_an_epoch_goes_on_where_the_one_before_ended(processes, length):
    """Every process takes as many, filled up from the next pass, and the second epoch repeats nothing."""
    whole, drawn = take(ResumableSampler(range(5), seed=1), 2 * processes * length), []
    for epoch in range(2):
        parts = []
        for rank in range(processes):
            sampler = ResumableSampler(range(5), seed=1)
            sampler.rank, sampler.world_size, sampler.by_epoch = rank, processes, True
            sampler.set_epoch(epoch)
            assert len(sampler) == length
            parts.append(take(sampler, 99))
            sampler.skip(1)
            assert take(sampler, 99) == parts[-1][1:]
        drawn += [pair for group in zip(*parts, strict=True) for pair in group]
    assert drawn == whole


def test_without_epochs_its_length_is_that_of_the_data():
    sampler = ResumableSampler(range(5), seed=1)
    sampler.world_size = 2
    assert len(sampler) == 5
    sampler.skip(0)
    sampler.set_epoch(3)  # does not matter
    assert take(sampler, 3) == take(ResumableSampler(range(5), seed=1), 5)[::2]


def test_the_stream_follows_the_published_seeds():
    """A training that is resumed by a later version goes on with these."""
    assert [seed for _, seed in take(ResumableSampler(range(3), seed=7), 3)] == [derive_seed(7, 0, i) for i in range(3)]
    generator = torch.Generator().manual_seed(derive_seed(7, 1, 1))
    order = [index for index, _ in take(ResumableSampler(range(3), seed=7), 6)][3:]
    assert order == torch.randperm(3, generator=generator).tolist()


def test_a_seed_that_is_not_given_is_shared(monkeypatch):
    monkeypatch.setattr('mlore_mm.datasets.samplers.sync_random_seed', lambda: 12)
    assert (ResumableSampler(range(3)).seed, ResumableSampler(range(3), seed=0).seed) == (12, 0)
