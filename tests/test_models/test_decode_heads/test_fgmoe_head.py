"""FGMoE-style: arithmetic by hand, the identities of the design, sizes, a frozen encoder."""

import pytest
import torch
import torch.nn.functional as F
from mmengine.config import Config
from torch.testing import assert_close

from mlore_mm.models.layers import DeformablePointConv, FineGrainedMixture, GlobalMixture
from mlore_mm.models.layers.deformable_mixer import sample_displaced
from mlore_mm.models.losses import ExpertShareLoss
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
