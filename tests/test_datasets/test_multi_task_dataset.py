import os
import re

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.runner import Runner
from numpy.testing import assert_array_equal

from mlore_mm.datasets import MultiTaskDataset, NYUDv2Dataset
from mlore_mm.utils.seeding import SeededIndex
from tests.test_datasets.archives import LABELS, TASKS, build, write_archive, write_image


@pytest.fixture
def log(caplog):
    logger = MMLogger.get_current_instance()
    logger.addHandler(caplog.handler)
    yield caplog
    logger.removeHandler(caplog.handler)


def split(root, *ids, name='train.txt'):
    (root / name).write_text('\n'.join(ids))
    return name


# ---- what is found ---------------------------------------------------------------------------------------------------
def test_a_folder_without_a_split_file_is_taken_as_a_whole(tmp_path):
    dataset = build(write_archive(tmp_path))
    assert [dataset.get_data_info(i)['sample_id'] for i in range(len(dataset))] == ['a', 'b', 'c']
    packed = dataset[2]
    assert packed['inputs'].shape == (3, 12, 16)
    assert (packed['data_samples'].gt.semseg == 2).all()


def test_a_split_file_gives_the_order(tmp_path):
    write_archive(tmp_path)
    dataset = build(tmp_path, ann_file=split(tmp_path, 'c', 'a'))
    assert [dataset.get_data_info(i)['sample_id'] for i in range(len(dataset))] == ['c', 'a']
    assert len(build(tmp_path, ann_file='train.txt', indices=1)) == 1


def test_names_with_spaces_other_alphabets_and_subfolders(tmp_path):
    ids = ('mit Leerzeichen', 'größe', '街/写真')
    dataset = build(write_archive(tmp_path, ids))
    assert sorted(dataset[i]['data_samples'].sample_id for i in range(3)) == sorted(ids)


def test_several_image_suffixes(tmp_path):
    write_archive(tmp_path, ('a',), suffix='.jpg')
    write_archive(tmp_path, ('b',), suffix='.png')
    dataset = build(tmp_path, img_suffix=('.jpg', '.png'))
    assert [os.path.basename(dataset.get_data_info(i)['img_path']) for i in range(2)] == ['a.jpg', 'b.png']


def test_only_labels_of_the_task_set_are_read(tmp_path):
    write_archive(tmp_path)
    for name in 'abc':
        (tmp_path / f'depth/{name}.npy').write_bytes(b'broken')
    dataset = build(tmp_path, tasks=dict(semseg=TASKS['semseg']))
    assert list(dataset[0]['data_samples'].gt.keys()) == ['semseg']


def test_a_task_without_a_place_has_no_labels(tmp_path):
    dataset = build(write_archive(tmp_path), labels=dict(LABELS, depth=None))
    sample = dataset[0]['data_samples']
    assert (sample.gt.depth == 0).all()
    assert sample.label_paths['depth'] is None
    assert sample.label_paths['semseg'].endswith('labels/a.png')


def test_missing_labels_are_ignored_or_raised(tmp_path):
    write_archive(tmp_path)
    (tmp_path / 'labels/b.png').unlink()
    (tmp_path / 'normals/b.png').unlink()
    sample = build(tmp_path)[1]['data_samples']
    assert (sample.gt.semseg == 255).all()
    assert (sample.gt.normals == 255).all()
    assert (sample.gt.depth > 0).all()
    with pytest.raises(ValueError, match=r"1 of 3 labels of task 'semseg' are missing, expected .*labels/\*.png: b"):
        build(tmp_path, missing_labels='raise')


def test_the_first_reader_whose_file_exists_is_taken(tmp_path):
    write_archive(tmp_path)
    write_image(tmp_path / 'better/b.png', np.full((12, 16), 4, dtype=np.uint8))
    readers = [dict(type='IdMapReader', dir='better'), dict(type='IdMapReader', dir='labels')]
    dataset = build(tmp_path, labels=dict(LABELS, semseg=readers))
    assert [int(dataset[i]['data_samples'].gt.semseg.max()) for i in range(3)] == [0, 4, 2]


def test_options_of_a_default_reader_are_changed_one_by_one(tmp_path):
    config = dict(metainfo=dict(tasks=dict(semseg=dict(type='SemSeg', out_channels=40))), lazy_init=True)
    dataset = NYUDv2Dataset(str(tmp_path), labels=dict(semseg=dict(dir='elsewhere')), **config)
    (reader,) = dataset.readers['semseg']
    assert reader.dir == 'elsewhere'
    assert reader.table[40] == 39
    with pytest.raises(ValueError, match="label reader of task 'semseg' has no `type`"):
        MultiTaskDataset(str(tmp_path), labels=dict(semseg=dict(dir='x')), **config)


def test_workers_give_the_same_samples_for_the_same_seed(tmp_path):
    steps = ['LoadMultiTaskImage', 'LoadMultiTaskLabels', 'MultiTaskRandomScale', 'MultiTaskRandomFlip']
    steps = [*steps, 'PhotoMetricDistortion', 'PackMultiTaskInputs']
    dataset = build(write_archive(tmp_path), pipeline=[dict(type=step) for step in steps])
    loader = dict(dataset=dataset, batch_size=1, num_workers=2, sampler=dict(type='InfiniteSampler', shuffle=True))

    def draw(seed):
        batches = iter(Runner.build_dataloader(dict(loader), seed=seed))
        return [next(batches)['inputs'][0].float() for _ in range(4)]

    first, again, other = draw(1), draw(1), draw(2)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not all(a.shape == b.shape and torch.equal(a, b) for a, b in zip(first, other, strict=True))


# ---- what is wrong ---------------------------------------------------------------------------------------------------
def test_wrong_paths_are_named(tmp_path):
    write_archive(tmp_path)
    cases = [
        (dict(root=tmp_path / 'none'), r"The root of MultiTaskDataset, '.*none' does not exist. Check `data_root`"),
        (dict(data_prefix=dict(img='photos')), r"The image folder of MultiTaskDataset, '.*photos' does not exist"),
        (dict(ann_file='none.txt'), 'Cannot read the split file .*none.txt'),
        (dict(ann_file=split(tmp_path, name='empty.txt')), 'empty.txt lists no sample'),
        (dict(ann_file=split(tmp_path, 'a', 'x', 'y')), '2 of 3 images of .*train.txt are not in .*images .*: x, y'),
        (dict(img_suffix='.bmp'), 'images has no file that ends with .bmp'),
    ]
    for options, message in cases:
        with pytest.raises(ValueError, match=message):
            build(**{'root': tmp_path, **options})


def test_wrong_options_are_named(tmp_path):
    write_archive(tmp_path)
    with pytest.raises(ValueError, match="missing_labels has to be 'ignore' or 'raise', but is 'drop'"):
        build(tmp_path, missing_labels='drop')
    with pytest.raises(ValueError, match="on_error has to be 'raise' or 'skip', but is 'ignore'"):
        build(tmp_path, on_error='ignore')
    with pytest.raises(ValueError, match="on_error='skip' is for training"):
        build(tmp_path, on_error='skip', test_mode=True)
    with pytest.raises(ValueError, match=r"needs metainfo\['tasks'\].*bind_tasks"):
        MultiTaskDataset(str(tmp_path))
    with pytest.raises(ValueError, match="Task 'x' has type 'Nothing', which is not a known kind"):
        build(tmp_path, tasks=dict(x=dict(type='Nothing')))


def test_a_task_without_any_label_is_warned_about(tmp_path, log):
    build(write_archive(tmp_path), labels=dict(LABELS, depth=dict(type='NpyReader', dir='dpeth')))
    assert re.search(r"No image has a label for task 'depth'; looked for .*dpeth/\*.npy", log.text)


def test_a_task_that_labels_do_not_mention_is_warned_about(tmp_path, log):
    root = write_archive(tmp_path)
    build(root, labels=dict(LABELS, depth=None))
    assert 'No labels are configured' not in log.text
    build(root, labels={name: reader for name, reader in LABELS.items() if name != 'depth'})
    assert 'No labels are configured for depth, so nothing is learned' in log.text


def test_a_broken_sample_stops_or_is_replaced_by_the_next_one(tmp_path, log):
    write_archive(tmp_path)
    (tmp_path / 'images/b.png').write_bytes((tmp_path / 'images/b.png').read_bytes()[:-40])
    with pytest.raises(ValueError, match='b.png cannot be decoded'):
        build(tmp_path)[1]
    dataset = build(tmp_path, on_error='skip')
    assert [dataset[1]['data_samples'].sample_id for _ in range(2)] == ['c', 'c']
    assert dataset.num_skipped == 2
    assert 'Skipped broken sample number 2: ' in log.text


def test_skipping_ends_when_nothing_can_be_read(tmp_path):
    write_archive(tmp_path)
    for name in 'abc':
        (tmp_path / f'images/{name}.png').write_bytes(b'x')
    with pytest.raises(ValueError, match='3 samples in a row from number 1 on cannot be read'):
        build(tmp_path, on_error='skip')[1]


def test_a_pipeline_that_gives_nothing_is_an_error(tmp_path):
    dataset = build(write_archive(tmp_path))
    dataset.pipeline = lambda results: None
    with pytest.raises(ValueError, match="The pipeline gave nothing for sample 'b'"):
        dataset[1]


def test_images_of_extreme_shapes(tmp_path):
    for name, size in (('dot', (1, 1)), ('strip', (2000, 2))):
        write_archive(tmp_path, (name,), size)
    dataset = build(tmp_path)
    assert_array_equal([tuple(dataset[i]['inputs'].shape) for i in range(2)], [(3, 1, 1), (3, 2000, 2)])


def test_a_loop_of_links_ends(tmp_path):
    write_archive(tmp_path)
    (tmp_path / 'images/loop').symlink_to(tmp_path / 'images', target_is_directory=True)
    assert len(build(tmp_path)) == 3
    (tmp_path / 'images/d.png').symlink_to('d.png')
    with pytest.raises(ValueError, match='Cannot read .*d.png: Too many levels of symbolic links'):
        build(tmp_path)[3]


def test_files_that_differ_in_capital_letters_are_named_and_not_missing(tmp_path):
    root = write_archive(tmp_path)
    (root / 'labels/b.png').rename(root / 'labels/b.PNG')
    with pytest.raises(ValueError, match=r'1 files of .* capital letters only.*labels/b.PNG. Rename them'):
        build(root)
    (root / 'labels/b.PNG').rename(root / 'labels/b.png')
    (root / 'images/c.png').rename(root / 'images/c.PNG')
    with pytest.raises(ValueError, match=r"c.PNG. Rename them, or name every ending: img_suffix=\('.png', '.PNG'\)"):
        build(root)
    (root / 'split.txt').write_text('a\nc\n')
    with pytest.raises(ValueError, match='capital letters only.*images/c.PNG'):
        build(root, ann_file='split.txt')
    assert len(build(root, img_suffix=('.png', '.PNG'))) == 3


@pytest.mark.parametrize('key', ['classes', 'palette', 'pallete', 'task'])
def test_what_belongs_to_a_task_is_no_metainfo(tmp_path, key):
    with pytest.raises(ValueError, match=f"metainfo of a data set has '{key}', which nothing reads"):
        MultiTaskDataset(str(tmp_path), metainfo=dict(tasks=TASKS, **{key: ()}), lazy_init=True)
    MultiTaskDataset(str(tmp_path), metainfo=dict(tasks=TASKS, note=1), lazy_init=True)


def test_a_config_is_completed_for_the_check_of_keys():
    filled = NYUDv2Dataset.complete_config(dict(x=1, labels=dict(semseg=dict(dir='x'), depth=dict(type='NpyReader'))))
    assert filled['labels']['semseg'] == {**NYUDv2Dataset.LABELS['semseg'], 'dir': 'x'}
    assert filled['labels']['depth'] == dict(type='NpyReader')
    assert filled['x'] == 1
    assert NYUDv2Dataset.complete_config(dict(labels=None)) == dict(labels=None)


def test_an_index_with_a_seed_sets_the_generators(tmp_path):
    dataset = build(write_archive(tmp_path), pipeline=[], lazy_init=True)
    dataset.pipeline = lambda results: float(torch.rand(()))
    assert dataset[SeededIndex(0, 5)] == dataset[SeededIndex(1, 5)] != dataset[SeededIndex(1, 6)]
    assert dataset[0] != dataset[0]


def test_as_many_are_skipped_as_may_be_fetched_again(tmp_path, log):
    write_archive(tmp_path)
    for name in 'bc':
        (tmp_path / f'images/{name}.png').write_bytes(b'x')
    with pytest.raises(ValueError, match='2 samples in a row from number 1 on'):
        build(tmp_path, on_error='skip', max_refetch=1)[1]
    dataset = build(tmp_path, on_error='skip', max_refetch=2)
    assert dataset[1]['data_samples'].sample_id == 'a'  # the list starts again
    assert dataset.num_skipped == 2


def test_a_label_of_several_files_needs_all_of_them(tmp_path):
    write_archive(tmp_path)
    reader = dict(type='DisparityReader', dir='labels', suffix='.png', metric_dir='other')
    (tmp_path / 'camera').mkdir()
    (tmp_path / 'camera/b_camera.json').write_text('{}')
    dataset = build(tmp_path, labels=dict(LABELS, depth=reader), pipeline=[])
    assert [dataset.get_data_info(i)['label_files']['depth'] is None for i in range(3)] == [True, False, True]
    info = dataset.get_data_info(1)
    assert info['label_paths']['depth'] == str(tmp_path / 'other/b.png')
    assert [os.path.basename(path) for path in info['label_files']['depth'][1]] == ['b.png', 'b_camera.json']
    assert 'reader_index' not in info
    assert info['tasks'] is dataset.tasks


def test_metainfo_is_plain(tmp_path):
    """It goes into checkpoints, which are read without running code."""
    config = Config(dict(metainfo=dict(tasks=TASKS, note=dict(a=1))))
    dataset = MultiTaskDataset(str(tmp_path), metainfo=config.metainfo, lazy_init=True)
    assert type(dataset.metainfo['tasks']['depth']) is type(dataset.metainfo['note']) is dict
