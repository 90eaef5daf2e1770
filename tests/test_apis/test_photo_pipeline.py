import numpy as np
import pytest
from mmengine.config import Config

from mlore_mm.apis import load_config
from mlore_mm.apis.inference.photo_pipeline import PhotoPipeline, image_size, test_pipeline, training_size
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


test_pipeline.__test__ = False
DEPTH = TaskSet(dict(depth=dict(type='Depth')))


def config(steps=(), train=None, **more) -> Config:
    loader = dict(test_dataloader=dict(dataset=dict(pipeline=list(steps))))
    return Config(dict(loader, train_dataloader=train and dict(dataset=dict(pipeline=train)), **more))


def test_sizes_by_hand():
    pipeline = PhotoPipeline(config([dict(type='CentrePad', size=(32, 64)), dict(type='PackMultiTaskInputs')]), DEPTH)
    assert (pipeline.train_size, pipeline.max_side) == ((32, 64), 64)
    packed = pipeline(np.zeros((64, 128, 3), np.uint8))['data_samples']
    assert (packed.img_shape[:2], packed.scale_factor) == ((32, 64), (1.0, 1.0))
    assert pipeline(np.zeros((8, 32, 3), np.uint8))['data_samples'].scale_factor == (1.0, 1.0)
    larger = PhotoPipeline(pipeline_config := config(train=[dict(type='X', crop_size=(32, 64))]), DEPTH, 1000)
    assert (larger.train_size, larger.max_side) == ((32, 64), 1000)
    assert larger(np.zeros((8, 640, 3), np.uint8))['data_samples'].scale_factor == (10.0, 10.0)
    assert PhotoPipeline(config(), DEPTH).max_side is None
    assert PhotoPipeline(pipeline_config, DEPTH, None).max_side is None
    for wrong in (-1, 0, 2.5, 'large'):
        with pytest.raises(ValueError, match="max_size is 'train', None or a number"):
            PhotoPipeline(config(), DEPTH, wrong)


def test_a_photo_comes_back_whole_and_at_its_size():
    """Whatever a benchmark scores on."""
    steps = [
        dict(type='MultiTaskResize', size=(32, 48), scored_here=True),
        dict(type='MultiTaskCentreCrop', crop_size=(8, 8)),
        dict(type='PackMultiTaskInputs'),
    ]
    packed = PhotoPipeline(config(steps), DEPTH, None)(np.zeros((60, 80, 3), np.uint8))
    assert packed['inputs'].shape == (3, 32, 43)
    assert packed['data_samples'].ori_shape == (60, 80)


def test_what_is_no_photo_and_no_step():
    pipeline = PhotoPipeline(config(), DEPTH)
    assert pipeline(np.zeros((200, 1, 3), np.uint8), 'a')['inputs'].shape == (3, 200, 1)
    with pytest.raises(ValueError, match=r'a is 1x201 \(HxW\), too narrow'):
        pipeline(np.zeros((1, 201, 3), np.uint8), 'a')
    with pytest.raises(ValueError, match="a step of type 'Nothing', which is no known transform"):
        PhotoPipeline(config([dict(type='Nothing')]), DEPTH)


def test_steps_are_found_inside_of_wrappers():
    step = dict(type='CentrePad', size=(8, 8))
    inner = dict(pipeline=[step])
    for dataset in (inner, dict(dataset=inner), dict(datasets=[dict(dataset=inner), dict(pipeline=[])])):
        assert test_pipeline(Config(dict(test_dataloader=dict(dataset=dataset)))) == [step]
        assert test_pipeline(Config(dict(val_dataloader=dict(dataset=dataset)))) == [step]
    assert test_pipeline(Config({})) == [dict(type='PackMultiTaskInputs')]


@pytest.mark.parametrize(
    ('backbone', 'more', 'size'),
    [
        (dict(img_size=48), dict(crop_size=(1, 2)), (48, 48)),
        (dict(img_size=[32, 48]), {}, (32, 48)),
        ({}, dict(train=[dict(size=9), dict(size=(3, 4)), dict(crop_size=(5, 6))], crop_size=(1, 2)), (5, 6)),
        ({}, dict(train=[dict(size=9)], crop_size=(1, 2)), (1, 2)),
        ({}, {}, (512, 512)),
    ],
)
def test_the_size_that_a_model_is_measured_at(backbone, more, size):
    assert image_size(config(model=dict(backbone=backbone), **more)) == size
