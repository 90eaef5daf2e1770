import pytest

from mlore_mm.apis import load_config
from mlore_mm.apis.inference.photo_pipeline import training_size
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
