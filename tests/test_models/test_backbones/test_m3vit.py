import pytest
import torch
from torch.testing import assert_close

from mlore_mm.models.backbones import M3ViT, m3vit
from mlore_mm.models.layers.token_router import ConditionedRouter, MultiGateRouter
from mlore_mm.routing import task_context, trace_routing
from tests.mlore_models import randomise

ARCH = dict(embed_dims=12, num_layers=4, num_heads=3)
TASKS = ['semseg', 'depth', 'edge']


def build(**options) -> M3ViT:
    torch.manual_seed(0)
    options = dict(dict(arch=ARCH, img_size=(32, 48), num_experts=5, top_k=2), **options)
    model = M3ViT(TASKS, **options)
    model.init_weights()
    randomise(model)
    return model


@pytest.fixture
def images():
    torch.manual_seed(1)
    return torch.randn(2, 3, 32, 48)


@pytest.mark.parametrize(
    'options', [dict(), dict(gate='conditioned', task_dims=3), dict(gate_input_ahead=True), dict(num_experts=[3, 7])]
)
def test_all_tasks_in_one_call(options, images):
    model = build(**options).eval()
    (folded,) = model.forward_folded(images, [2, 0])
    for i, task_id in enumerate((2, 0)):
        assert_close(folded[i], model(images, task_id)[0], atol=1e-5, rtol=1e-5)
    assert not torch.allclose(folded[0], folded[1], atol=1e-3), 'tasks go to other experts'


@pytest.mark.parametrize('noise', [0.0, 4.0, 'softplus'])
@pytest.mark.parametrize('gate', ['multi', 'conditioned'])
def test_every_parameter_learns_and_checkpointing_changes_nothing(gate, noise, images):
    def step(with_cp):
        model = build(gate=gate, task_dims=3, noise=noise, with_cp=with_cp).train()
        torch.manual_seed(2)
        with trace_routing() as trace:
            (out,) = model.forward_folded(images, [0, 1, 2])
        out.square().sum().backward()
        return trace.records, {name: p.grad for name, p in model.named_parameters()}

    records, gradients = step(False)
    assert [(r.layer, r.task) for r in records] == [
        (f'backbone/block{i}', task) for i in (1, 3) for task in ('semseg', 'depth', 'edge')
    ]
    assert {(r.gates.shape, r.noise_std is not None) for r in records} == {((2, 7, 5), noise != 0.0)}
    assert all(g is not None and g.abs().sum() > 0 for g in gradients.values())
    again, other = step(True)
    assert len(again) == 6
    for name, gradient in other.items():
        assert_close(gradient, gradients[name], atol=1e-5, rtol=1e-4)


def test_another_size_resizes_the_positions(images):
    model = build().eval()
    assert model(torch.randn(1, 3, 48, 32), 0)[0].shape == (1, 12, 3, 2)
    with pytest.raises(ValueError, match=r'\(32, 40\), not a multiple of its patch size 16'):
        model(images[..., :40], 0)


def test_gradients_of_the_experts_can_be_scaled(images):
    plain, scaled = build(), build(expert_grad_scale=2.0)
    for model in (plain, scaled):
        model(images, 0)[0].square().sum().backward()
    for (name, p), q in zip(plain.named_parameters(), scaled.parameters(), strict=True):
        if p.grad is not None:
            assert_close(q.grad, p.grad * (2 if '.mixture.' in name else 1))


def test_start():
    """Published: uniform within 1 / sqrt(E) for routers, 1 / sqrt(out * in) for experts."""
    model = M3ViT(TASKS, arch=dict(ARCH, embed_dims=48), num_experts=16)
    layer = model.layers[1]
    assert layer.router.weight['depth'].abs().max().item() == pytest.approx(1 / 4, rel=0.01)
    assert layer.mixture.fc1.weight.abs().max().item() == pytest.approx(1 / 48, rel=0.01)
    even = M3ViT(TASKS, arch=dict(ARCH, embed_dims=48), gate_init='normal')
    assert even.layers[1].router.weight['depth'].std().item() == pytest.approx(0.02, rel=0.1)


def test_a_router_in_half_precision_is_not(images):
    model = build().eval()
    with torch.autocast('cpu', torch.bfloat16), trace_routing() as trace, task_context(['depth']):
        out = model(images, 1)[0]
    assert {r.logits.dtype for r in trace.records} == {torch.float32}
    assert_close(out.float(), model(images, 1)[0], atol=0.3, rtol=0.1)


def test_mistakes():
    with pytest.raises(ValueError, match="'multi' and 'conditioned' .* but got 'both'"):
        build(gate='both')
    with pytest.raises(ValueError, match='mixture of 3 experts cannot choose top_k=4'):
        build(num_experts=3, top_k=4)
    with pytest.raises(ValueError, match=r'\[4, 4, 4\] for 2 mixtures'):
        build(num_experts=[4, 4, 4])
    with pytest.raises(ValueError, match='expert_ratio=0 of .* no width'):
        build(expert_ratio=0)
    with pytest.raises(ValueError, match='task_dims >= 1, but got 0'):
        build(gate='conditioned', task_dims=0)


def test_a_router_keeps_columns_of_experts():
    router = MultiGateRouter(['a', 'b'], 3, 5, dict(top_k=2, noise='softplus'))
    router.reset(1.0)
    weights = [weights['b'].detach().clone() for weights in (router.weight, router.noise_weight)]
    router.keep_experts('b', torch.tensor([4, 1]))
    for kept, before in zip((router.weight, router.noise_weight), weights, strict=True):
        assert list(kept) == ['b']
        assert torch.equal(kept['b'], before[:, [4, 1]])


def test_noise_is_as_large_as_told():
    """sigma / E, selected after the softmax; learned noise selects before it, so that the gates add up to 1."""
    images = torch.randn(1, 3, 32, 48)
    for noise, sums in ((4.0, False), ('softplus', True)):
        with trace_routing() as trace:
            build(noise=noise).train()(images, 0)
        record = trace.records[0]
        totals = record.gates.sum(dim=-1)
        assert torch.allclose(totals, torch.ones_like(totals)) is sums
        if not sums:
            assert record.noise_std == pytest.approx(4 / 5)
    with trace_routing() as trace:
        build(noise=4.0).eval()(images, 0)
    assert trace.records[0].noise_std is None


class Nothing(torch.nn.Module):
    def forward(self, x):
        return 0 * x


def test_stochastic_depth_drops_both_branches_in_training(images):
    model = build(drop_path_rate=0.3)
    assert_close([layer.drop_path.drop_prob for layer in model.layers], [0.0, 0.1, 0.2, 0.3])
    layer, x = model.layers[1], torch.randn(2, 3, 7, 12)
    layer.drop_path = Nothing()
    assert torch.equal(layer.train()(x, TASKS[:2]), x)
    assert not torch.equal(layer.eval()(x, TASKS[:2]), x)


def test_blocks_are_checkpointed_in_training_only(monkeypatch, images):
    calls = []
    monkeypatch.setattr(m3vit, 'checkpoint', lambda call, *args, use_reentrant: calls.append(1) or call(*args))
    model = build(with_cp=True).eval()
    model(images, 0)
    assert not calls
    model.train()(images, 0)
    assert len(calls) == 4


def test_the_router_may_look_ahead(images):
    """At the block's input, before its norms: other norms then change no gate."""
    model = build(gate_input_ahead=True).eval()
    layer, x, seen = model.layers[1], torch.randn(1, 2, 7, 12), []
    layer.router.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    layer(x, ['depth'])
    assert seen[0] is x
    layer.gate_input_ahead = False
    layer(x, ['depth'])
    assert not torch.allclose(seen[1], x)


def test_positions_of_another_size_are_bilinear(images):
    model = build().eval()
    grid = model.pos_embed[:, 1:].transpose(1, 2).unflatten(2, (2, 3))
    wide = build(img_size=(64, 48)).eval()
    resized = torch.nn.functional.interpolate(grid, size=(4, 3), mode='bilinear').flatten(2).transpose(1, 2)
    state = dict(model.state_dict(), pos_embed=torch.cat([model.pos_embed[:, :1], resized], dim=1))
    wide.load_state_dict(state)
    tall = torch.randn(1, 3, 64, 48)
    assert_close(model(tall, 0), wide(tall, 0))


def test_start_of_the_other_weights():
    """Loading nothing, ``init_weights`` leaves the mixtures as they were."""
    model = M3ViT(TASKS, arch=dict(ARCH, embed_dims=96), img_size=32, num_experts=3, top_k=1, gate='conditioned')
    before = [x.clone() for x in model.layers[1].mixture.parameters()]
    model.init_weights()
    for weight in (model.layers[0].ffn.layers[1].weight, model.layers[1].attn['attn'].in_proj_weight):
        assert weight.std().item() == pytest.approx(0.02, rel=0.1)
    for embedding in (model.cls_token, model.pos_embed):
        assert embedding.std().item() == pytest.approx(0.02, rel=0.3)
    assert all((x.bias == 0).all() for x in model.modules() if isinstance(x, torch.nn.Linear))
    assert all(torch.equal(x, y) for x, y in zip(model.layers[1].mixture.parameters(), before, strict=True))
    assert model.layers[1].router.weight.abs().max().item() == pytest.approx(3**-0.5, rel=0.05)
    assert model.task_features.columns['depth'].std().item() == pytest.approx(0.02, rel=0.3)
    assert model.task_features.fc2.weight.std().item() == pytest.approx(0.02, rel=0.1)
    assert model.task_features.bias.abs().max() == 0


@pytest.mark.parametrize('options', [dict(), dict(gate='conditioned', task_dims=3), dict(noise='softplus')])
def test_a_task_alone_with_its_experts_in_another_order(options, images):
    model = build(**options).eval()
    (wanted,) = model(images, 1)
    order = torch.tensor([3, 0, 4, 1, 2])
    assert model.keep_task('depth', dict.fromkeys(model.mixtures(), order)) == dict(num_experts=[5, 5])
    assert_close(model(images, 1)[0], wanted, atol=1e-5, rtol=1e-5)
    fewer = model.keep_task('depth', dict.fromkeys(model.mixtures(), torch.tensor([0, 1, 2])))
    assert fewer == dict(num_experts=[3, 3])
    assert model.train()(images, 1)[0].isfinite().all()


def test_a_conditioned_router_reads_token_and_task():
    """``s = [r ; f_t] W`` as one product of the joined vectors, for logits and for the noise's deviation."""
    router = ConditionedRouter(4, 3, 5, dict(top_k=5, noise='softplus')).train()
    router.reset(0.5)
    assert all(0.3 < weight.abs().max() <= 0.5 for weight in (router.weight, router.noise_weight))
    r, features = torch.randn(2, 1, 6, 4), torch.randn(2, 3)
    routing = router(r, ['a', 'b'], features)
    joined = torch.cat([r, features[:, None, None].expand(2, 1, 6, 3)], dim=-1)
    assert_close(routing.logits, joined @ router.weight)
    assert_close(routing.noise_std, torch.nn.functional.softplus(joined @ router.noise_weight) + 0.01)
    router.reset(None)
    assert router.weight.std() < 0.05
    assert ConditionedRouter(4, 3, 5, dict(top_k=5, noise='none')).noise_weight is None


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(gate_init='zeros'), "gate_init 'uniform' and 'normal', but got 'multi' and 'zeros'"),
        (dict(img_size=(40, 48)), r'img_size=\(40, 48\) has to be a multiple of patch_size=16'),
        (dict(img_size=(48, 40)), r'img_size=\(48, 40\) has to be a multiple of patch_size=16'),
    ],
)
def test_more_mistakes(options, message):
    with pytest.raises(ValueError, match=message):
        build(**options)


def test_widths():
    model = build(expert_ratio=0.5, mlp_ratio=2, num_experts=[3, 4])
    assert model.level_channels == [12]
    assert [layer.mixture.fc1.weight.shape for layer in model.layers[1::2]] == [(3, 6, 12), (4, 6, 12)]
    assert model.layers[0].ffn.layers[1].weight.shape == (12, 24)
