"""Every published config, narrowed until it fits a small machine: one training step, predictions at two sizes."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.structures import PixelData

from mlore_mm.registry import MODELS
from mlore_mm.structures import MultiTaskDataSample
from mlore_mm.tasks import TaskSet, bind_tasks

CONFIGS = Path(__file__).parents[1] / 'configs' / 'mlore'
SIZE = (64, 96)
NARROW_HEAD = dict(embed_dims=16, ranks=[2, 3, 4], task_rank=2, top_k=2, grid=(4, 6))
NARROW_VIT = dict(arch=dict(embed_dims=32, num_layers=4, num_heads=2), img_size=SIZE, out_indices=[0, 1, 2, 3])
NARROW_SWIN = dict(embed_dims=16, depths=[1, 1, 1, 1], num_heads=[1, 2, 4, 8])
STAGE = dict(num_modules=1, block='BASIC')
NARROW_HRNET = dict(
    extra=dict(
        stage1=dict(num_modules=1, num_branches=1, block='BOTTLENECK', num_blocks=(1,), num_channels=(8,)),
        stage2=dict(num_branches=2, num_blocks=(1, 1), num_channels=(4, 8), **STAGE),
        stage3=dict(num_branches=3, num_blocks=(1, 1, 1), num_channels=(4, 8, 16), **STAGE),
        stage4=dict(num_branches=4, num_blocks=(1, 1, 1, 1), num_channels=(4, 8, 16, 32), **STAGE),
    )
)
# Config, changes to its backbone, and the channels of the backbone's levels then.
CASES = {
    'mlore_vitl_pascal': (NARROW_VIT, [32] * 4),
    'mlore_vitb_pascal': (NARROW_VIT, [32] * 4),
    'mlore_vits_pascal': (NARROW_VIT, [32] * 4),
    'mlore_vitl_nyud': (NARROW_VIT, [32] * 4),
    'mlore_vitb_nyud': (NARROW_VIT, [32] * 4),
    'mlore_swin-b_pascal': (NARROW_SWIN, [16, 32, 64, 128]),
    'mlore_swin-b_nyud': (NARROW_SWIN, [16, 32, 64, 128]),
    'mlore_convnext-b_nyud': (dict(arch=dict(depths=[1, 1, 1, 1], channels=[8, 16, 32, 64])), [8, 16, 32, 64]),
    'mlore_r50_nyud': (dict(stem_channels=8, base_channels=8), [32, 64, 128, 256]),
    'mlore_hrnet-w18_pascal': (NARROW_HRNET, [4, 8, 16, 32]),
    'mlore_tiny_synthrooms_nyud': (dict(), [64, 128, 256]),
    'mlore_tiny_synthrooms_pascal': (dict(), [64, 128, 256]),
    'mlore_tiny_camvid': (dict(), [64, 128, 256]),
    'mlore_tiny_nyud-small': (dict(), [64, 128, 256]),
}


@pytest.fixture(params=CASES)
def model(request):
    if 'convnext' in request.param:
        pytest.importorskip('mmpretrain', reason='this backbone comes from mmpretrain, which is optional')
    backbone, channels = CASES[request.param]
    cfg = bind_tasks(Config.fromfile(CONFIGS / f'{request.param}.py'))
    init_default_scope('mlore_mm')
    cfg.model.backbone.pop('init_cfg', None)  # public weights, of the real width
    cfg.model.backbone.update(backbone)
    cfg.model.decode_head.update(in_channels=channels, **NARROW_HEAD)
    torch.manual_seed(0)
    built = MODELS.build(cfg.model)
    built.init_weights()
    return built


def make_sample(tasks: TaskSet, size) -> MultiTaskDataSample:
    sample = MultiTaskDataSample(metainfo=dict(ori_shape=size))
    sample.gt = PixelData(**{name: torch.ones(task.target_channels, *size) for name, task in tasks.items()})
    return sample


def test_one_training_step_reaches_every_parameter(model):
    model.train()
    batch = dict(inputs=[torch.randint(0, 256, (3, *SIZE), dtype=torch.uint8)] * 2)
    batch['data_samples'] = [make_sample(model.tasks, SIZE) for _ in range(2)]
    batch = model.data_preprocessor(batch, True)
    loss, log = model.parse_losses(model(**batch, mode='loss'))
    loss.backward()

    assert {f'loss_{name}' for name in model.tasks} <= set(log)
    assert loss.isfinite()
    assert [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None] == []


@pytest.mark.parametrize('size', [SIZE, (75, 53)], ids=['training size', 'odd size'])
def test_predictions_have_the_size_of_the_image(model, size):
    model.eval()
    batch = dict(inputs=[torch.randint(0, 256, (3, *size), dtype=torch.uint8)])
    batch['data_samples'] = [make_sample(model.tasks, size)]
    with torch.no_grad():
        sample = model(**model.data_preprocessor(batch, False), mode='predict')[0]
    for name in model.tasks:
        assert sample.pred.get(name).shape[-2:] == size
        assert sample.pred.get(name).isfinite().all()
