from types import SimpleNamespace

import pytest
import torch
from mmengine.registry import init_default_scope

from mlore_mm.models.encoder_facts import (
    EncoderFacts,
    block_indices,
    check_levels,
    encoder_facts,
    fill_head,
    fill_preprocessor,
    known_levels,
)
from mlore_mm.models.multi_task_encoder_decoder import MultiTaskEncoderDecoder
from mlore_mm.registry import MODELS
from tests import toy_parts  # noqa: F401  registers the toys

RESNET = dict(type='mmseg.ResNet', depth=18, base_channels=4, stem_channels=4)
STEM = dict(RESNET, type='StemResNet')
VIT = dict(type='PlainViT', arch=dict(embed_dims=8, num_layers=4, num_heads=2), img_size=32)


def build(**config):
    init_default_scope('mlore_mm')
    return MODELS.build(config)


@pytest.mark.parametrize(
    ('config', 'channels', 'strides'),
    [
        (RESNET, (4, 8, 16, 32), (4, 8, 16, 32)),
        (dict(type='ToyTaskEncoder'), (4,), (4,)),
        (dict(type='PlainViT', arch=dict(embed_dims=8, num_layers=4, num_heads=2), img_size=32), (8,) * 4, (16,) * 4),
    ],
    ids=lambda x: x.get('type') if isinstance(x, dict) else '',
)
def test_an_encoder_is_looked_at(config, channels, strides):
    backbone = build(**config)
    backbone.train()
    before = {name: x.clone() for name, x in backbone.state_dict().items()}
    state = torch.random.get_rng_state()
    facts = encoder_facts(backbone, ['depth'])
    assert (facts.channels, facts.strides) == (channels, strides)
    assert backbone.training
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(torch.equal(before[name], x) for name, x in backbone.state_dict().items())


def test_an_encoder_is_looked_at_on_the_meta_device():
    with torch.device('meta'):
        backbone = build(**RESNET)
        assert encoder_facts(backbone, ['depth']).channels == (4, 8, 16, 32)


def test_a_plain_vit_answers_and_says_the_divisor():
    backbone = build(type='PlainViT', arch=dict(embed_dims=8, num_layers=4, num_heads=2), img_size=32, out_indices=[-1])
    assert (backbone.facts.channels, backbone.facts.strides, backbone.facts.size_divisor) == ((8,), (16,), 16)


def test_a_head_needs_no_channels_on_any_encoder():
    head = dict(type='MultiTaskFCNHead', embed_dims=4, in_index=[1, 2])
    model = MultiTaskEncoderDecoder(RESNET, head, tasks=dict(depth=dict(type='Depth')))
    assert model.decode_head.in_channels == [8, 16]


def test_levels_that_the_encoder_lacks_are_named():
    head = dict(type='MultiTaskFCNHead', embed_dims=4, in_index=[1, 4])
    with pytest.raises(ValueError, match=r'in_index=\[1, 4\].*4 with \[4, 8, 16, 32\] channels'):
        MultiTaskEncoderDecoder(RESNET, head, tasks=dict(depth=dict(type='Depth')))


@pytest.mark.parametrize('given', [[2, 4], [-5], [2, 1], [1, 1], []])
def test_blocks_that_there_are_not(given):
    message = r'out_indices=.* of PlainViT: expected ascending numbers of its blocks, 0 to 3, or -4 to -1'
    with pytest.raises(ValueError, match=message):
        build(**dict(VIT, out_indices=given))


def test_blocks_counted_from_the_end():
    assert block_indices([0, -2, -1], 4, 'x') == [0, 2, 3]


@pytest.mark.parametrize(
    ('backbone', 'levels'),
    [(RESNET, 4), (dict(RESNET, out_indices=(1, 3)), 2), (STEM, 5), (VIT, 4), (dict(type='ToyTaskEncoder'), None)],
    ids=['resnet', 'two', 'stem', 'vit', 'unknown'],
)
def test_levels_are_counted_before_anything_runs(backbone, levels):
    built = build(**backbone)
    assert known_levels(built) == levels
    if levels is None:
        return
    channels = getattr(built, 'level_channels', [8] * levels)
    for last, wrong in ((levels - 1, False), (levels, True), (-1, True)):
        head = dict(type='MultiTaskFCNHead', embed_dims=4, in_channels=channels, in_index=[*range(levels - 1), last])
        if wrong:
            with pytest.raises(ValueError, match=rf'in_index=.*{last}\], but .* returns {levels} levels'):
                MultiTaskEncoderDecoder(backbone, head, tasks=dict(depth=dict(type='Depth')))
        else:
            MultiTaskEncoderDecoder(backbone, head, tasks=dict(depth=dict(type='Depth')))


def test_channels_that_the_encoder_states_are_compared():
    head = dict(type='MultiTaskFCNHead', embed_dims=4, in_channels=[8, 9], in_index=[0, 3])
    with pytest.raises(ValueError, match=r'in_channels=\[8, 9\], but PlainViT returns \[8, 8\] channels'):
        MultiTaskEncoderDecoder(VIT, head, tasks=dict(depth=dict(type='Depth')))


@pytest.mark.parametrize(
    ('config', 'channels'),
    [
        (STEM, [4, 4, 8, 16, 32]),
        (dict(STEM, depth=50, out_indices=(3,)), [4, 128]),
        (dict(type='TaskPrompterViT', tasks=['a'], arch=VIT['arch'], img_size=32, out_indices=[1, 3]), [8, 8]),
        (dict(type='M3ViT', tasks=['a'], arch=VIT['arch'], img_size=32), [8]),
        (dict(type='ModSquadViT', tasks=['a'], arch=VIT['arch'], img_size=32), [8]),
    ],
    ids=lambda x: x.get('type') if isinstance(x, dict) else '',
)
def test_stated_channels_are_those_that_come(config, channels):
    backbone = build(**config)
    assert backbone.level_channels == channels
    assert encoder_facts(backbone, ['a'], side=32 if 'tasks' in config else 64).channels == tuple(channels)


FACTS = EncoderFacts(channels=(4, 8, 16), strides=(4, 8, 16), size_divisor=16, mean=(1.0,), std=(2.0,))


def test_a_preprocessor_is_filled_in():
    """With what is known and not said; nothing is known of encoders without facts."""
    own = dict(type='X', mean=(9.0,))
    assert fill_preprocessor(own, SimpleNamespace(facts=FACTS)) == dict(
        type='X', mean=(9.0,), std=(2.0,), size_divisor=16
    )
    some = EncoderFacts((4,), (4,))
    assert fill_preprocessor(own, SimpleNamespace(facts=some)) == own
    assert fill_preprocessor(own, SimpleNamespace()) == own


@pytest.mark.parametrize(
    ('config', 'accepted', 'filled'),
    [
        ({}, ('in_channels',), dict(in_channels=[4, 8, 16])),
        (dict(in_index=[2, 0]), ('in_channels', 'strides'), dict(in_channels=[16, 4], strides=[16, 4])),
        (dict(in_channels=[4, 8]), ('in_channels', 'strides'), dict(strides=[4, 8])),
        (dict(in_channels=[4, 8], strides=[2, 4]), ('in_channels', 'strides'), {}),
        (dict(in_channels=[4] * 9), ('in_channels', 'strides'), {}),
    ],
)
def test_a_head_is_filled_in(config, accepted, filled):
    before = dict(config)
    assert fill_head(config, accepted, lambda: FACTS) == {**config, **filled}
    assert config == before


@pytest.mark.parametrize(
    ('config', 'accepted'),
    [
        (dict(in_channels=[4]), ('in_channels',)),
        (dict(in_channels=[4], grid=(2, 2)), ('in_channels', 'strides')),
        (dict(in_channels=[4], strides=[4]), ('in_channels', 'strides')),
    ],
)
def test_an_encoder_is_not_run_in_vain(config, accepted):
    assert fill_head(config, accepted, None) == config


def test_an_encoder_that_does_not_take_the_image_is_named():
    with pytest.raises(ValueError, match='Conv2d has no `facts` and did not take an image of 64x64'):
        encoder_facts(torch.nn.Conv2d(5, 2, 1), ['depth'])


def test_levels_below_zero_and_heads_that_do_not_say():
    backbone = SimpleNamespace(facts=FACTS)
    with pytest.raises(ValueError, match='returns 3 levels: 0 to 2'):
        check_levels(backbone, SimpleNamespace(in_index=[-1, 1], in_channels=[16, 8]))
    check_levels(backbone, SimpleNamespace(in_index=[2, 0], in_channels=[16, 4]))
    check_levels(backbone, SimpleNamespace())
    check_levels(SimpleNamespace(), SimpleNamespace(in_index=[9], in_channels=[1]))  # nothing is known
