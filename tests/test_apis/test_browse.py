"""Pictures of a data set as the network sees it."""

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.structures import PixelData
from numpy.testing import assert_array_equal
from PIL import Image

from mlore_mm.apis.analysis import browse
from mlore_mm.apis.analysis.browse import _unpad, browse_dataset
from mlore_mm.structures import MultiTaskDataSample
from tests.test_datasets.archives import LABELS, PIPELINE, TASKS, write_archive


def config(root) -> Config:
    dataset = dict(
        type='MultiTaskDataset', data_root=str(root), labels=LABELS, pipeline=PIPELINE, img_suffix='.png', metainfo={}
    )
    return Config(dict(tasks=TASKS, train_dataloader=dict(dataset=dataset)))


def test_a_picture_for_each_of_the_first_images(tmp_path, monkeypatch):
    drawn, done = [], []
    monkeypatch.setattr(browse, 'draw_overlays', lambda *args: drawn.append(args) or args[0])
    cfg = config(write_archive(tmp_path / 'data'))
    files = browse_dataset(
        cfg, tmp_path / 'out', count=2, opacity=0.3, on_progress=lambda *numbers: done.append(numbers)
    )
    assert [file.name for file in files] == ['0000_a.png', '0001_b.png']
    assert done == [(1, 2), (2, 2)]
    for path, file, (image, tasks, _, opacity) in zip(('a.png', 'b.png'), files, drawn, strict=True):
        assert_array_equal(image, np.asarray(Image.open(tmp_path / 'data/images' / path)))  # in its own colours
        assert_array_equal(image, np.asarray(Image.open(file)))
        assert (list(tasks), opacity) == (['semseg', 'depth', 'normals'], 0.3)
    assert drawn[1][2].semseg.unique().tolist() == [1]


def test_the_seed_decides_about_the_augmentation(tmp_path, monkeypatch):
    monkeypatch.setattr(browse, 'draw_overlays', lambda image, tasks, gt, opacity: image)
    cfg = config(write_archive(tmp_path / 'data', ids=[str(i) for i in range(8)]))
    cfg.train_dataloader.dataset.pipeline.insert(2, dict(type='MultiTaskRandomFlip', prob=0.5))

    def pictures(**options) -> list[bytes]:
        return [
            file.read_bytes() for file in browse_dataset(cfg, tmp_path / 'out', opacity=1, tasks=['depth'], **options)
        ]

    first = pictures()
    assert len(first) == 8
    assert first == pictures(seed=0) != pictures(seed=1)
    assert 'task_names' not in cfg


def test_what_cannot_be_shown(tmp_path):
    cfg = config(tmp_path)
    with pytest.raises(ValueError, match='no val_dataloader'):
        browse_dataset(cfg, tmp_path / 'out', split='val')
    with pytest.raises(ValueError, match=r'from 0 to 1, but got 1\.5'):
        browse_dataset(cfg, tmp_path / 'out', opacity=1.5)
    with pytest.raises(ValueError, match='from 0 to 1'):
        browse_dataset(cfg, tmp_path / 'out', opacity=-0.1)


def test_borders_are_cut_before_the_size_is_compared():
    image = np.arange(9 * 10 * 3, dtype=np.uint8).reshape(9, 10, 3)
    sample = MultiTaskDataSample(metainfo=dict(padding=(1, 3, 2, 4)))  # left, right, top, bottom
    sample.gt = PixelData(depth=torch.zeros(1, 3, 6))
    assert_array_equal(_unpad(image, sample), image[2:5, 1:7])
    sample.gt = PixelData(depth=torch.zeros(1, 9, 10))
    assert_array_equal(_unpad(image, sample), image)
    sample.gt = PixelData(depth=torch.zeros(1, 6, 12))  # labels at twice the size of the picture without its borders
    assert _unpad(image, sample).shape == (6, 12, 3)
    sample = MultiTaskDataSample(gt=PixelData(depth=torch.zeros(1, 3, 5)))
    assert _unpad(np.repeat(np.repeat(image[:3, :5], 2, 0), 2, 1), sample).shape == (3, 5, 3)
