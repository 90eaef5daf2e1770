import pytest
from mmengine.registry import init_default_scope

from mlore_mm.models.encoder_depth import block_depths, freeze_stages, stage_depths
from mlore_mm.registry import MODELS

TINY = dict(embed_dims=8, num_layers=4, num_heads=2)
HRNET = dict(
    stage1=dict(num_modules=1, num_branches=1, block='BOTTLENECK', num_blocks=(2,), num_channels=(4,)),
    stage2=dict(num_modules=1, num_branches=2, block='BASIC', num_blocks=(1, 1), num_channels=(2, 4)),
    stage3=dict(num_modules=1, num_branches=3, block='BASIC', num_blocks=(1, 1, 1), num_channels=(2, 4, 8)),
    stage4=dict(num_modules=1, num_branches=4, block='BASIC', num_blocks=(1, 1, 1, 1), num_channels=(2, 4, 8, 16)),
)
SWIN = dict(type='mmseg.SwinTransformer', embed_dims=12, depths=(1, 1, 2, 1), num_heads=(1, 1, 1, 1))
TIMM = dict(type='TimmBackbone', model_name='convnext_atto')


def build(**config):
    if config['type'] == 'TimmBackbone':
        pytest.importorskip('timm')
    init_default_scope('mlore_mm')
    return MODELS.build(config)


@pytest.mark.parametrize(
    ('config', 'blocks', 'stages'),
    [
        (dict(type='PlainViT', arch=TINY, img_size=32), 4, 4),
        (dict(type='mmseg.ResNet', depth=18, base_channels=4, stem_channels=4), 8, 4),
        (dict(type='mmseg.HRNet', extra=HRNET), 5, 4),
        (SWIN, 5, 4),
        (TIMM, 12, 4),
    ],
    ids=lambda x: x.get('type') if isinstance(x, dict) else '',
)
def test_every_kind_of_encoder_has_blocks_and_stages(config, blocks, stages):
    backbone = build(**config)
    names = {name for name, _ in backbone.named_parameters()}
    for depths, count in ((block_depths(backbone), blocks), (stage_depths(backbone), stages)):
        assert depths.count == count
        assert set(depths.of) == names
        assert set(depths.of.values()) >= set(range(count + 1))
        assert max(depths.of.values()) <= count + 1


def test_what_leads_to_a_stage_belongs_to_it():
    of = stage_depths(build(type='mmseg.HRNet', extra=HRNET)).of
    assert of['transition1.0.0.weight'] == of['stage2.0.branches.0.0.conv1.weight'] == 2
    of = stage_depths(build(**SWIN)).of
    assert (of['patch_embed.projection.weight'], of['norm0.weight']) == (0, 5)


@pytest.mark.parametrize(
    'config', [dict(type='mmseg.ResNet', depth=18, base_channels=4, stem_channels=4), TIMM], ids=['mmseg', 'timm']
)
def test_frozen_stages_neither_learn_nor_count_statistics(config):
    backbone = build(**config)
    frozen = freeze_stages(backbone, 2)
    depths = stage_depths(backbone).of
    assert {p.requires_grad for n, p in backbone.named_parameters() if depths[n] <= 2} == {False}
    assert {p.requires_grad for n, p in backbone.named_parameters() if depths[n] > 2} == {True}
    assert frozen
    assert all(not any(p.requires_grad for p in module.parameters()) for module in frozen)


def test_more_stages_than_there_are_is_named():
    with pytest.raises(ValueError, match='frozen_stages=5 of PlainViT: it has 4 stages'):
        freeze_stages(build(type='PlainViT', arch=TINY, img_size=32), 5)


def test_as_many_stages_as_there_are():
    """0 is the stem alone; nothing behind the last stage is frozen with it."""
    for stages, learning in ((0, {'layers', 'ln1'}), (4, {'ln1'})):
        backbone = build(type='PlainViT', arch=TINY, img_size=32)
        freeze_stages(backbone, stages)
        assert {name.split('.')[0] for name, p in backbone.named_parameters() if p.requires_grad} == learning
    with pytest.raises(ValueError, match='frozen_stages=-1'):
        freeze_stages(backbone, -1)
