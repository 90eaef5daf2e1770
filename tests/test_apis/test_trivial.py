"""The trivial predictor on a data set small enough to work its numbers out."""

import numpy as np
import pytest
from mmengine.config import Config
from PIL import Image

from mlore_mm.apis import browse_dataset, evaluate_trivial

PIPELINE = [
    dict(type='LoadMultiTaskImage'),
    dict(type='LoadMultiTaskLabels'),
    dict(type='MarkIgnore'),
    dict(type='PackMultiTaskInputs'),
]


@pytest.fixture
def cfg(tmp_path):
    """Two training images (classes 0, 0 and 1; 1 m and 3 m) and a test image (class 1 in a quarter; 2 m and 5 m)."""
    for folder in ('img', 'ids', 'metres'):
        (tmp_path / folder).mkdir()
    ids = dict(a=np.zeros((4, 8)), b=np.eye(4, 8), t=np.repeat([[1, 0, 0, 255]], 4, axis=0).repeat(2, axis=1))
    metres = dict(
        a=np.full((4, 8), 1.0), b=np.full((4, 8), 3.0), t=np.repeat([[2.0, 5.0]], 4, axis=0).repeat(4, axis=1)
    )
    metres['b'][0] = 0  # not measured
    for name in ids:
        Image.fromarray(np.full((4, 8, 3), 99, np.uint8)).save(tmp_path / 'img' / f'{name}.png')
        Image.fromarray(ids[name].astype(np.uint8)).save(tmp_path / 'ids' / f'{name}.png')
        np.save(tmp_path / 'metres' / f'{name}.npy', metres[name].astype(np.float32))
    (tmp_path / 'train.txt').write_text('a\nb\n')
    (tmp_path / 'test.txt').write_text('t\n')
    dataset = dict(
        type='MultiTaskDataset',
        data_root=str(tmp_path),
        data_prefix=dict(img='img'),
        img_suffix='.png',
        labels=dict(semseg=dict(type='IdMapReader', dir='ids'), depth=dict(type='NpyReader', dir='metres')),
        pipeline=PIPELINE,
    )
    return Config(
        dict(
            default_scope='mlore_mm',
            work_dir=str(tmp_path / 'work'),
            tasks=dict(semseg=dict(type='SemSeg', out_channels=2), depth=dict(type='Depth')),
            train_dataloader=dict(dataset=dict(dataset, ann_file='train.txt')),
            test_dataloader=dict(dataset=dict(dataset, ann_file='test.txt', test_mode=True)),
            test_evaluator=dict(type='MultiTaskEvaluator', metrics=[]),
        )
    )


@pytest.mark.parametrize('augmented', [False, True])
def test_constants_by_hand(cfg, tmp_path, augmented):
    """From the labels as they are stored, whatever training makes of them."""
    if augmented:
        crop = dict(type='MultiTaskRandomCrop', crop_size=(1, 1))
        cfg.train_dataloader.dataset.pipeline = [*PIPELINE[:2], crop, *PIPELINE[2:]]
    metrics = evaluate_trivial(cfg)
    assert metrics['semseg/mIoU'] == pytest.approx(100 * (2 / 3 + 0) / 2)  # class 0 everywhere, 8 of 24 pixels are 1
    mean = (32 * 1.0 + 24 * 3.0) / 56
    assert metrics['depth/RMSE'] == pytest.approx((((mean - 2) ** 2 + (mean - 5) ** 2) / 2) ** 0.5, rel=1e-6)
    assert (tmp_path / 'work' / 'trivial.json').exists()


def test_another_file_of_the_config_stays(cfg, tmp_path):
    cfg.test_evaluator.out_file = str(tmp_path / 'mine.json')
    cfg.eval_tasks = ['depth']
    assert 'depth/RMSE' in evaluate_trivial(cfg)
    assert (tmp_path / 'mine.json').exists()
    assert not (tmp_path / 'work' / 'trivial.json').exists()
    assert cfg.eval_tasks == ['depth']


def test_browsing_writes_a_picture_per_sample(cfg, tmp_path):
    done = []
    files = browse_dataset(cfg, tmp_path / 'out', count=5, tasks=['depth'], on_progress=lambda *x: done.append(x))
    assert [x.name for x in files] == ['0000_a.png', '0001_b.png']
    assert done == [(1, 2), (2, 2)]
    assert all(Image.open(x).width < 3 * 300 for x in files)  # the image and one task
    with pytest.raises(ValueError, match='no val_dataloader'):
        browse_dataset(cfg, tmp_path / 'out', split='val')


def test_without_a_work_folder_nothing_is_written(cfg, tmp_path):
    before = set(tmp_path.rglob('*'))
    cfg.pop('work_dir')
    evaluate_trivial(cfg)
    assert {path for path in tmp_path.rglob('*') if 'evaluation' not in path.name} == before
