"""FGMoE-style: the head from its definition, sizes, a frozen encoder."""

import pytest
import torch
import torch.nn.functional as F
from mmengine.config import Config
from torch.testing import assert_close

from mlore_mm.registry import MODELS
from mlore_mm.routing import trace_routing
from mlore_mm.tasks import bind_tasks
from tests.mlore_models import make_samples, randomise
from tests.shared import REPO
from tests.systems import SYSTEMS


def build(**head):
    model = SYSTEMS['fgmoe'].config()
    model['decode_head'] = dict(model['decode_head'], **head)
    model = MODELS.build(model)
    randomise(model)
    return model


def test_every_router_is_recorded():
    model = build().eval()
    images = torch.randn(1, 3, *SYSTEMS['fgmoe'].size)
    with torch.no_grad(), trace_routing() as trace:
        model(images, tasks=['depth'])
    assert [(r.layer, r.task) for r in trace.records] == [
        ('decode_head/global', 'depth'),
        ('decode_head/stage0/experts/depth', 'depth'),
    ]


def test_a_frozen_encoder_stays_as_it_is():
    model = build().train()
    images = torch.randn(2, 3, *SYSTEMS['fgmoe'].size)
    before = {name: x.clone() for name, x in model.backbone.state_dict().items()}
    losses = model(images, make_samples(model, images), mode='loss')
    assert 'loss_balance' in losses
    sum(losses.values()).backward()
    assert all(p.grad is None for p in model.backbone.parameters())
    assert [name for name, p in model.decode_head.named_parameters() if p.grad is None] == []
    assert not model.backbone.training
    assert_close(model.backbone.state_dict(), before, rtol=0, atol=0)


@pytest.mark.parametrize('mixer', ['dwconv', 'none'])
@pytest.mark.parametrize('gate', [dict(global_gate='none'), dict(global_gate='sigmoid', global_experts=1)])
def test_open_choices(mixer, gate):
    model = build(mixer=mixer, num_stages=2, granularity=2, shared_experts=0, **gate).eval()
    with torch.no_grad():
        logits = model(torch.randn(1, 3, *SYSTEMS['fgmoe'].size))
    assert all(x.isfinite().all() for x in logits.values())


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(mixer='conv'), "mixer is one of .* but got 'conv'"),
        (dict(global_gate='relu'), "global_gate is one of .* but got 'relu'"),
        (dict(global_gate='sigmoid'), 'is for one expert, but global_experts=4'),
        (dict(granularity=3), 'has to be a multiple of granularity=3'),
        (dict(granularity=1, shared_experts=1), 'cannot be chosen'),
    ],
)
def test_what_cannot_be_built(options, message):
    with pytest.raises(ValueError, match=message):
        build(**options)


@pytest.mark.parametrize(
    ('name', 'trainable', 'total'),
    [
        ('vitl_pascal', 12_852_310, 317_000_790),
        ('vitl_nyud', 10_707_133, 314_839_229),
        ('vitb_pascal', 12_590_166, 99_023_958),
        ('vits_pascal', 12_196_950, 34_180_182),
    ],
)
def test_numbers_of_parameters(name, trainable, total):
    config = bind_tasks(Config.fromfile(REPO / f'configs/fgmoe_style/fgmoe-style_{name}.py')).model
    config.backbone.pop('init_cfg', None)
    with torch.device('meta'):
        model = MODELS.build(config)
    assert sum(p.numel() for p in model.parameters()) == total
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == trainable


def test_the_head_is_its_definition():
    """Aggregation with stride 2, two stages, experts of all tasks beside, one doubling behind the prediction."""
    head = build(num_stages=2, aggregate_stride=2, upsamples=1, mixer='dwconv').decode_head.eval()
    feats = [torch.randn(1, c, 4, 6) for c in head.in_channels]
    with torch.no_grad():
        x = head.aggregate(torch.cat(feats, dim=1))
        tokens = z = head.norm(x.flatten(2).transpose(1, 2))
        for stage in head.stages:
            u = stage['depth']['mixer'](z.transpose(1, 2).unflatten(2, (2, 3))).flatten(2).transpose(1, 2)
            z = u + stage['depth']['experts'](u, 'depth')
        z = (z + head.shared(tokens, ['depth'])['depth']).transpose(1, 2).unflatten(2, (2, 3))
        wanted = F.interpolate(head.predict['depth'](head.heads['depth'](z)), scale_factor=2, mode='bilinear')
        assert_close(head(feats, ['depth']).logits, dict(depth=wanted))


def test_start_of_the_head():
    head = build(embed_dims=64).decode_head
    head.init_weights()
    assert head.aggregate.weight.std().item() == pytest.approx(0.02, rel=0.1)
    assert max(conv.bias.abs().max() for conv in head.predict.values()) == 0
    assert head.stages[0]['depth']['mixer'].blocks[0]['look'][0].offset[1].weight.abs().max() > 0  # of randomise


def test_a_head_of_one_task():
    head = build(global_gate='none').decode_head
    assert head.keep_task('depth') == {}
    assert list(head.stages[0]) == ['depth']
