import pytest
import torch
from torch.testing import assert_close

from mlore_mm.models.backbones import M3ViT
from mlore_mm.models.layers.token_router import MultiGateRouter
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
