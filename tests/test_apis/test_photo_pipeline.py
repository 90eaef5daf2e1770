import numpy as np
import pytest
from mmengine.config import Config

from mlore_mm.apis import load_config
from mlore_mm.apis.inference.photo_pipeline import PhotoPipeline, training_size
from mlore_mm.tasks import TaskSet
from tests.shared import REPO

SIZES = dict(mlore_tiny_camvid=(256, 320), mlore_vitl_nyud=(448, 576), mlore_vitl_pascal=(512, 512))


@pytest.mark.parametrize('name', SIZES)
def test_the_training_size_is_that_of_the_training_pipeline(name):
    cfg, size = load_config(str(REPO / f'configs/mlore/{name}.py')), SIZES[name]
    assert training_size(cfg) == size
    cfg.train_dataloader.dataset = dict(type='RepeatDataset', times=2, dataset=cfg.train_dataloader.dataset)
    assert training_size(cfg) == size


def test_a_config_without_training_data_names_no_size():
    cfg = load_config(str(REPO / 'configs/mlore/mlore_tiny_camvid.py'))
    cfg.train_dataloader = None
    assert training_size(cfg) is None


def test_a_large_photo_keeps_its_shape():
    cfg = Config(dict(train_dataloader=None, test_dataloader=None, val_dataloader=None))
    pipeline = PhotoPipeline(cfg, TaskSet(dict(depth=dict(type='Depth'))), max_size=64)
    assert pipeline(np.zeros((60, 128, 3), np.uint8))['inputs'].shape == (3, 30, 64)
    assert pipeline(np.zeros((60, 20, 3), np.uint8))['inputs'].shape == (3, 60, 20)
