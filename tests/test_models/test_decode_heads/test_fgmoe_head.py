"""FGMoE-style: arithmetic by hand, the identities of the design, sizes, a frozen encoder."""

import pytest
import torch
import torch.nn.functional as F
from mmengine.config import Config
from torch.testing import assert_close

from mlore_mm.models.layers import (
    DeformableMixer,
    DeformablePointConv,
    FineGrainedMixture,
    GlobalMixture,
    PadExpertLinear,
)
from mlore_mm.models.layers.deformable_mixer import sample_displaced
from mlore_mm.models.layers.fine_grained_mixture import full_precision_linear
from mlore_mm.models.losses import ExpertShareLoss
from mlore_mm.registry import MODELS
from mlore_mm.routing import RouterRecord, RouterTrace, trace_routing
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


def test_worked_example():
    """C = 2, experts of width 1, no norms, v = (1, -1); numbers of the design document."""
    v = torch.tensor([[[1.0, -1.0]]])
    moe = FineGrainedMixture(2, 1, base_experts=4, granularity=1, shared_experts=0, base_top_k=2)
    shared = FineGrainedMixture(2, 1, base_experts=1, granularity=1, shared_experts=0, base_top_k=1)
    both = GlobalMixture(['t'], 2, 1, num_experts=1, top_k=1, gate='sigmoid')
    for module in (moe, shared, both):
        module.norm = torch.nn.Identity()
    with torch.no_grad():
        moe.router.weight.copy_(torch.tensor([[1.0, 0], [0, 1], [0, 0], [0.5, 0]]))
        moe.experts.fc1.weight.copy_(torch.tensor([[1.0, 0], [0, 1], [1, 1], [0.5, -0.5]])[:, None])
        moe.experts.fc2.weight.copy_(torch.tensor([[1.0, 0], [0, 2], [1, 1], [-1, 1]])[..., None])
        expert = F.gelu(torch.tensor(1.0)) * torch.tensor([1.0, -1.0])  # W1 = (2, 1), W2 = (1, -1)
        both.experts.fc1.weight.copy_(torch.tensor([[[1.0, -1.0]]]))
        both.experts.fc2.weight.copy_(torch.tensor([[[1.0], [1.0]]]))
        both.pixel_router.weight.copy_(torch.tensor([[1.0, 0]]))
        both.task_router.weight.copy_(torch.tensor([[2.0, 0]]))
        both.embedding.copy_(torch.tensor([[0.5, 0]]))
        with trace_routing() as trace:
            routed = moe(v, 't')
        total = v + routed + expert + both(v, ['t'])['t']
    wanted = torch.tensor([[0.47399085, 0.06414769, 0.17437149, 0.28748998]])
    assert_close(trace.records[0].flat_probabilities, wanted)
    assert_close(routed[0, 0], torch.tensor([0.15691152, 0.24187818]))
    assert_close(total[0, 0], torch.tensor([3.71977393, 0.12205110]))


def test_experts_partition_one_mlp():
    """All chosen with probability 1: one MLP whose hidden units are those of the experts, side by side."""
    moe = FineGrainedMixture(6, 8, base_experts=2, granularity=4, shared_experts=0, base_top_k=2).double()
    randomise(moe)
    u = torch.randn(2, 5, 6, dtype=torch.float64)
    with torch.no_grad():
        moe.experts.fc2.bias.zero_()
        v = moe.norm(u)
        routing = moe.gate(moe.router(v))
        ones = torch.ones_like(routing.gates)
        found = moe.experts(v, routing._replace(gates=ones, scores=torch.ones_like(routing.scores)))
        hidden = F.gelu(F.linear(v, moe.experts.fc1.weight.flatten(0, 1), moe.experts.fc1.bias.flatten()))
        assert hidden.shape[-1] == 2 * 8
        assert_close(found, F.linear(hidden, moe.experts.fc2.weight.permute(1, 0, 2).flatten(1)))


def test_shared_experts_are_always_on():
    moe = FineGrainedMixture(6, 8, shared_experts=2)
    randomise(moe)
    u = torch.randn(1, 4, 6)
    v = moe.norm(u)
    routed = moe.experts.plain(v, moe.gate(moe.router(v)))
    assert (moe.gate.top_k, len(moe.shared)) == (2, 2)
    assert_close(moe(u, 't'), routed + moe.shared[0](v) + moe.shared[1](v))


def test_global_experts_by_hand():
    moe = GlobalMixture(['a', 'b'], 6, 8, num_experts=4, top_k=2)
    randomise(moe)
    x = torch.randn(1, 3, 6)
    found = moe(x, ['b'])['b']
    v = moe.norm(x)
    p = (v @ moe.pixel_router.weight.t() + moe.embedding[1] @ moe.task_router.weight.t()).softmax(-1)
    for pixel in range(3):
        best = p[0, pixel].topk(2).indices.tolist()
        wanted = sum(p[0, pixel, e] * moe.experts.expert(e, v[0, pixel]) for e in best)
        assert_close(found[0, pixel], wanted)


def test_every_channel_is_sampled_at_its_own_place():
    x = torch.randn(2, 3, 4, 5)
    offsets = torch.zeros(2, 6, 4, 5)
    assert_close(sample_displaced(x, offsets), x)
    offsets[:, 1] = 1  # y of the second channel: one row down
    offsets[:, 3 + 2] = -0.5  # x of the third: between two columns
    found = sample_displaced(x, offsets)
    assert_close(found[:, 0], x[:, 0])
    assert_close(found[:, 1, :-1], x[:, 1, 1:])
    assert found[:, 1, -1].abs().max() < 1e-5, 'nothing lies outside'
    assert_close(found[:, 2, :, 1:], (x[:, 2, :, 1:] + x[:, 2, :, :-1]) / 2)
    conv = DeformablePointConv(3, 4)
    assert_close(conv(x), conv.point(x))  # it begins as an ordinary convolution


def test_balance_is_one_where_all_is_even():
    moe = FineGrainedMixture(4, 4, shared_experts=1, name='a')
    with torch.no_grad():
        moe.router.weight.zero_()
    loss = ExpertShareLoss(loss_weight=1.0)
    with trace_routing() as trace:
        moe(torch.randn(2, 5, 4), 't')
    assert_close(loss(trace), torch.tensor(1.0))
    with torch.no_grad():
        moe.router.weight[:] = torch.arange(16.0)[:, None]
    with trace_routing() as trace:
        moe(torch.ones(2, 5, 4) * torch.tensor([9.0, 1, 1, 1]), 't')
    assert loss(trace) > 0.9
    with pytest.raises(ValueError, match='no router record'):
        loss(None)


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


def test_the_mixer_is_its_definition():
    mixer = DeformableMixer(4, depth=2, kind='dwconv').eval()
    randomise(mixer)
    x = torch.randn(1, 4, 5, 6)
    wanted = x
    for block in mixer.blocks:
        conv, _, norm = block['mix']
        wanted = norm(F.gelu(conv(wanted)))
        (depthwise, point), _, norm = block['look']
        assert depthwise.groups == 4
        wanted = wanted + norm(F.gelu(point(depthwise(wanted))))
    assert len(mixer.blocks) == 2
    assert_close(mixer(x), wanted)
    assert torch.equal(DeformableMixer(4, kind='none')(x), x)


def test_a_map_of_one_pixel_is_sampled():
    x = torch.randn(1, 2, 1, 1)
    assert_close(sample_displaced(x, torch.zeros(1, 4, 1, 1)), x)


def test_offsets_begin_at_zero_again():
    conv = DeformablePointConv(3, 4)
    for parameter in conv.offset.parameters():
        torch.nn.init.ones_(parameter)
    conv.reset_offsets()
    assert conv.offset(torch.randn(1, 3, 4, 4)).abs().max() == 0


def deviations(*weights):
    return torch.stack([weight.std() for weight in weights])


def test_start():
    """Deviation 0.02; second layers over the root of the experts at work: 3 chosen and 1 shared, and 2 of all."""
    own = FineGrainedMixture(64, 128)
    both = GlobalMixture(['a', 'b'], 64, 128)
    for module in (own, both):
        for parameter in module.parameters():
            torch.nn.init.ones_(parameter)
        module.init_weights()
    first = deviations(own.router.weight, own.experts.fc1.weight, own.shared[0][0].weight, both.experts.fc1.weight)
    assert_close(first, torch.full((4,), 0.02), rtol=0.1, atol=0)
    second = deviations(own.experts.fc2.weight, own.shared[0][2].weight)
    assert_close(second, torch.full((2,), 0.02 / 2), rtol=0.1, atol=0)
    assert both.experts.fc2.weight.std().item() == pytest.approx(0.02 * 2**-0.5, rel=0.1)
    assert both.embedding.std().item() == pytest.approx(0.02, rel=0.2)
    biases = [p for module in (own, both) for name, p in module.named_parameters() if name.endswith('bias')]
    assert max(p.abs().max() for p in biases if p.shape != own.norm.bias.shape) == 0
    alone = GlobalMixture(['a'], 64, 128, num_experts=1, top_k=1, gate='sigmoid')
    alone.init_weights()
    assert alone.experts.fc2.weight.std().item() == pytest.approx(0.02, rel=0.1)
    head = build(embed_dims=64).decode_head
    head.init_weights()
    assert head.aggregate.weight.std().item() == pytest.approx(0.02, rel=0.1)
    assert max(conv.bias.abs().max() for conv in head.predict.values()) == 0
    assert head.stages[0]['depth']['mixer'].blocks[0]['look'][0].offset[1].weight.abs().max() > 0  # of randomise


def test_static_weights_follow_the_start():
    mixture = FineGrainedMixture(8, 8)
    mixture.experts.fc1 = PadExpertLinear.like(mixture.experts.fc1, static_init='mean')
    mixture.init_weights()
    assert_close(mixture.experts.fc1.static, mixture.experts.fc1.weight.mean(dim=0))


def test_the_embedding_of_one_task_is_kept():
    moe = GlobalMixture(['a', 'b', 'c'], 6, 8)
    randomise(moe)
    x = torch.randn(1, 3, 6)
    wanted = moe(x, ['c'])['c']
    moe.keep_task('c')
    assert_close(moe(x, ['c'])['c'], wanted)
    assert moe.embedding.shape == (1, 6)
    head = build(global_gate='none').decode_head
    assert head.keep_task('depth') == {}
    assert list(head.stages[0]) == ['depth']


def test_a_sigmoid_gate_is_recorded():
    moe = GlobalMixture(['a'], 6, 8, num_experts=1, top_k=3, gate='sigmoid', name='g')
    randomise(moe)
    with trace_routing() as trace:
        moe(torch.randn(2, 3, 6), ['a'])
    (record,) = trace.records
    assert (record.layer, record.task) == ('g', 'a')
    assert_close(record.gates, record.logits.sigmoid())
    assert_close(record.probabilities, torch.ones(2, 3, 1))
    assert ExpertShareLoss()(trace).item() == 0, 'one expert has nothing to balance'


def test_routers_decide_in_full_precision():
    x, weight = torch.randn(2, 6), torch.randn(3, 6)
    wanted = F.linear(x, weight)
    with torch.autocast('cpu', torch.bfloat16):
        assert torch.equal(full_precision_linear(x, weight), wanted)
        assert full_precision_linear(x.bfloat16(), weight).dtype == torch.float32
    assert full_precision_linear(x, weight.double()).dtype == torch.float64


def test_share_by_hand():
    """Layer a, two tokens: f = (1, 1/2, 1/2), P = (0.55, 0.25, 0.2), N / K = 3/2; layer b, even: 1. Their mean."""
    p = torch.tensor([[0.6, 0.3, 0.1], [0.5, 0.2, 0.3]])
    gates = torch.tensor([[0.6, 0.3, 0.0], [0.5, 0.0, 0.3]])
    even = torch.eye(2)
    records = [RouterRecord('a', 't', p, gates), RouterRecord('b', 't', torch.full((2, 2), 0.5), even)]
    records.append(RouterRecord('c', 't', torch.ones(2, 1), torch.ones(2, 1)))
    wanted = (1.5 * (0.55 + 0.125 + 0.1) + 1) / 2
    assert ExpertShareLoss(loss_weight=2.0)(RouterTrace(records)).item() == pytest.approx(2 * wanted)
