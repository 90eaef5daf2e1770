"""The data configs build, and their pipelines give what the model takes."""

import shutil

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner

from mlore_mm.registry import DATASETS
from mlore_mm.tasks import TaskSet, bind_tasks
from tests.shared import REPO
from tests.test_datasets.archives import write_image

SAMPLES = dict(
    nyud_v2='nyud',
    synth_rooms_nyud='nyud',
    nyud_astmt='nyud',
    pascal_context='pascal',
    synth_rooms_pascal='pascal',
    pascal_astmt='pascal',
)


@pytest.fixture(params=[*SAMPLES, 'camvid'])
def cfg(request, tmp_path, monkeypatch):
    monkeypatch.setenv('CAMVID_ROOT', str(tmp_path))
    init_default_scope('mlore_mm')
    cfg = Config.fromfile(REPO / f'configs/_base_/datasets/{request.param}.py')
    if request.param == 'camvid':
        write_camvid(tmp_path)
    else:
        shutil.copytree(REPO / 'tests/data' / SAMPLES[request.param], tmp_path, dirs_exist_ok=True)
        for train in tmp_path.rglob('train.txt'):
            shutil.copy(train, train.with_name('val.txt'))
        for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
            loader.dataset.data_root = str(tmp_path)
        cfg.train_dataloader.batch_size = 2
    return bind_tasks(cfg)


def write_camvid(root):
    rng = np.random.default_rng(0)
    write_image(root / 'images/a.jpg', rng.integers(0, 256, (360, 480, 3), dtype=np.uint8))
    write_image(root / 'labels/a.png', rng.integers(0, 12, (36, 48), dtype=np.uint8).repeat(10, 0).repeat(10, 1))
    for split in ('train', 'val'):
        (root / 'splits').mkdir(exist_ok=True)
        (root / f'splits/{split}.txt').write_text('a\n')


def first_batch(loader):
    return next(iter(Runner.build_dataloader(dict(loader, num_workers=0, persistent_workers=False), seed=0)))


def test_training_batches_have_the_crop_size(cfg):
    batch = first_batch(cfg.train_dataloader)
    tasks = TaskSet(cfg.tasks)
    assert len(batch['inputs']) == 2
    for image, sample in zip(batch['inputs'], batch['data_samples'], strict=True):
        assert image.shape == (3, *cfg.crop_size)
        assert image.dtype == torch.uint8
        for name, task in tasks.items():
            target = sample.gt.get(name)
            assert target.shape == (task.target_channels, *cfg.crop_size)
            assert str(target.dtype) == f'torch.{task.dtype}'


def test_labels_of_a_test_sample_keep_the_size_of_the_image(cfg):
    for loader in (cfg.val_dataloader, cfg.test_dataloader):
        batch = first_batch(loader)
        sample = batch['data_samples'][0]
        height, width = sample.ori_shape
        if 'warp' in cfg:  # benchmark family A stretches
            assert batch['inputs'][0].shape == (3, *cfg.crop_size)
            assert 'scale_factor' not in sample, 'metres stay'
        else:
            left, right, top, bottom = sample.padding
            assert batch['inputs'][0].shape == (3, height + top + bottom, width + left + right)
        assert all(side % 16 == 0 for side in batch['inputs'][0].shape[1:])
        assert sample.gt.shape == (height, width)
        assert set(sample.label_paths) == set(cfg.tasks)


def test_scores_at_the_size_of_the_network(tmp_path):
    init_default_scope('mlore_mm')
    shutil.copytree(REPO / 'tests/data/nyud', tmp_path, dirs_exist_ok=True)
    cfg = Config.fromfile(REPO / 'configs/_base_/datasets/nyud_astmt.py')
    cfg.eval_at = 'input'
    cfg.val_dataloader.dataset.update(data_root=str(tmp_path), ann_file='gt_sets/train.txt')
    sample = first_batch(bind_tasks(cfg).val_dataloader)['data_samples'][0]
    assert sample.ori_shape == sample.gt.shape == cfg.crop_size


def test_augmented_views_are_flips_and_scales_of_one_image(cfg):
    dataset = DATASETS.build(dict(cfg.test_dataloader.dataset, pipeline=cfg.tta_pipeline))
    views = dataset[0]
    samples = views['data_samples']
    assert [sample.flip for sample in samples] == (1 if 'warp' in cfg else 3) * [False, True]
    assert len({sample.ori_shape for sample in samples}) == 1
    assert all(torch.equal(sample.gt.semseg, samples[0].gt.semseg) for sample in samples)
    assert all(side % 16 == 0 for image in views['inputs'] for side in image.shape[1:])


def test_classes_and_colours_are_complete(cfg):
    for task in TaskSet(cfg.tasks).values():
        assert len(task.classes) in (0, task.out_channels)
        assert len(task.palette) in (0, task.out_channels)
    assert TaskSet(cfg.tasks)['semseg'].classes
