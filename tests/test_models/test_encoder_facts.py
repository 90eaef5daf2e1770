import pytest
import torch
from mmengine.registry import init_default_scope

from mlore_mm.models.encoder_facts import encoder_facts
from mlore_mm.models.multi_task_encoder_decoder import MultiTaskEncoderDecoder
from mlore_mm.registry import MODELS
from tests import toy_parts  # noqa: F401  registers the toys

RESNET = dict(type='mmseg.ResNet', depth=18, base_channels=4, stem_channels=4)


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
