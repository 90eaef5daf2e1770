"""The optimizer sees what is trained, and nothing else."""

import pytest
import torch
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from torch import nn

from mlore_mm.engine.optim_wrapper_constructor import describe_parameters
from mlore_mm.registry import MODELS, OPTIM_WRAPPER_CONSTRUCTORS, RUNNERS
from tests.test_engine.test_runner import load

OPTIM_WRAPPER = dict(type='OptimWrapper', optimizer=dict(type='Adam', lr=0.1, weight_decay=0.1))


def build(model, **options):
    constructor = OPTIM_WRAPPER_CONSTRUCTORS.build(
        dict(type='TrainableOptimWrapperConstructor', optim_wrapper_cfg=dict(OPTIM_WRAPPER), **options)
    )
    return constructor(model)


@pytest.mark.parametrize('options', [dict(), dict(paramwise_cfg=dict(norm_decay_mult=0.0))])
def test_frozen_parameters_stay_out(options):
    model = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.Linear(4, 2))
    model[0].requires_grad_(False)
    before = model[0].weight.clone()
    wrapper = build(model, **options)

    trained = {id(p) for group in wrapper.optimizer.param_groups for p in group['params']}
    assert trained == {id(p) for p in model[1:].parameters()}
    wrapper.update_params(model(torch.ones(1, 3)).sum())
    assert torch.equal(model[0].weight, before)


def test_a_key_that_names_no_parameter_is_named():
    model = nn.Module()
    model.backbone = nn.Linear(2, 2)
    with pytest.raises(
        ValueError, match="custom_keys.backbon.x: no parameter has 'backbon.x'.*Did you mean 'backbone'"
    ):
        build(model, paramwise_cfg=dict(custom_keys={'backbon.x': dict(lr_mult=0.1)}))
    with pytest.raises(ValueError, match='They are called backbone.weight, ..., backbone.bias'):
        build(model, paramwise_cfg=dict(custom_keys=dict(zzz=dict(lr_mult=0.1))))
    build(model, paramwise_cfg=dict(custom_keys=dict(backbone=dict(lr_mult=0.1))))


def test_a_wholly_frozen_model_is_refused():
    with pytest.raises(ValueError, match='nothing to train'):
        build(nn.Linear(2, 2).requires_grad_(False))


def test_configs_name_it():
    wrapper = build_optim_wrapper(
        nn.Linear(2, 2), dict(constructor='mlore_mm.TrainableOptimWrapperConstructor', **OPTIM_WRAPPER)
    )
    assert len(wrapper.optimizer.param_groups[0]['params']) == 2


class Model(nn.Module):
    def __init__(self, backbone: dict) -> None:
        super().__init__()
        init_default_scope('mlore_mm')
        self.backbone, self.decode_head = MODELS.build(backbone), nn.Conv2d(8, 2, 1)


TINY = dict(embed_dims=8, num_layers=4, num_heads=2)


@pytest.mark.parametrize(
    ('backbone', 'expected'),
    [
        (
            dict(type='PlainViT', arch=TINY, img_size=32),
            {
                'patch_embed.projection.weight': 5,
                'pos_embed': 5,
                'layers.0.ln1.weight': 4,
                'layers.3.ln1.bias': 1,
                'ln1.bias': 0,
            },
        ),
        (
            dict(type='mmseg.ResNet', depth=18, base_channels=4, stem_channels=4),
            {'conv1.weight': 9, 'layer1.0.conv1.weight': 8, 'layer4.1.bn2.bias': 1},
        ),
        (
            dict(
                type='TimmBackbone', model_name='vit_tiny_patch16_224', options=dict(depth=4, embed_dim=12, num_heads=2)
            ),
            {'model.patch_embed.proj.weight': 5, 'model.blocks.0.norm1.weight': 4, 'model.blocks.3.norm1.bias': 1},
        ),
    ],
    ids=['ours', 'mmseg', 'timm'],
)
def test_layer_wise_rates(backbone, expected):
    if backbone['type'] == 'TimmBackbone':
        pytest.importorskip('timm')
    model = Model(backbone)
    wrapper = build(model, paramwise_cfg=dict(layer_decay=0.5))
    rates = {id(p): group['lr'] for group in wrapper.optimizer.param_groups for p in group['params']}
    names = dict(model.backbone.named_parameters())
    assert {name: rates[id(names[name])] for name in expected} == pytest.approx(
        {name: 0.1 * 0.5**power for name, power in expected.items()}
    )
    assert rates[id(model.decode_head.weight)] == 0.1


def test_without_decay_all_rates_are_one():
    wrapper = build(Model(dict(type='PlainViT', arch=TINY, img_size=32)), paramwise_cfg=dict(layer_decay=1))
    assert {group['lr'] for group in wrapper.optimizer.param_groups} == {0.1}


@pytest.mark.parametrize('decay', [0, 1.5])
def test_a_decay_that_cannot_be_is_named(decay):
    with pytest.raises(ValueError, match=f'layer_decay is above 0 and at most 1, but got {decay}'):
        build(Model(dict(type='PlainViT', arch=TINY, img_size=32)), paramwise_cfg=dict(layer_decay=decay))


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class KnowsThreeEncoders:
    """As mmsegmentation's constructor for decay by layer."""

    def __init__(self, *args, **options):
        pass

    def __call__(self, model):
        raise NotImplementedError


def test_a_constructor_that_says_nothing_gets_a_message(tmp_path):
    with pytest.raises(ValueError, match='paramwise_cfg=dict.layer_decay=0.75'):
        RUNNERS.build(load(tmp_path, **{'optim_wrapper.constructor': 'KnowsThreeEncoders'})).train()


def test_frozen_parameters_are_one_line_of_the_log(tmp_path):
    runner = RUNNERS.build(load(tmp_path, **{'optim_wrapper.paramwise_cfg': dict(norm_decay_mult=0.0)}))
    for parameter in runner.model.heads['depth'].parameters():
        parameter.requires_grad_(False)
    runner.train()
    log = next((tmp_path / 'work' / runner.timestamp).glob('*.log')).read_text()
    assert '2 parameters are frozen and stay outside the optimizer' in log
    assert 'paramwise_cfg gave ' in log
    assert f'Parameters: {describe_parameters(runner.model).split(": ")[1]}' in log
    assert 'is skipped since' not in log
    assert 'paramwise_options --' not in log


def test_parameters_are_counted_by_hand():
    model = nn.Sequential(nn.Linear(100, 20), nn.Linear(2, 1))
    model[1].requires_grad_(False)
    assert describe_parameters(model) == 'Parameters: 2,020 trainable, 3 frozen.'
