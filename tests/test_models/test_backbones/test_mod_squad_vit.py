import pytest
import torch
from torch.testing import assert_close

from mlore_mm.models.backbones import ModSquadViT
from mlore_mm.models.backbones.mod_squad_vit import Routed
from mlore_mm.models.decode_heads import ModSquadHead
from mlore_mm.models.features import Features
from mlore_mm.models.layers import ExpertUsage
from mlore_mm.routing import trace_routing
from tests.mlore_models import randomise

ARCH = dict(embed_dims=12, num_layers=4, num_heads=3)
TASKS = ['semseg', 'depth', 'edge']


def build(**options) -> ModSquadViT:
    torch.manual_seed(0)
    options = dict(
        dict(arch=ARCH, img_size=(32, 48), attn_experts=5, num_experts=6, top_k=2, drop_path_rate=0.0), **options
    )
    model = ModSquadViT(TASKS, **options)
    model.init_weights()
    randomise(model)
    for part in model.modules():
        if isinstance(part, ExpertUsage):
            part.count.zero_()
    return model


def usage(model) -> float:
    return sum(part.usage.count.sum().item() for part in model.modules() if isinstance(part, Routed))


@pytest.fixture
def images():
    torch.manual_seed(1)
    return torch.randn(2, 3, 32, 48)


@pytest.mark.parametrize(
    'options', [dict(), dict(twice_attn=False), dict(twice_mlp=False, num_experts=[3, 4, 5, 6]), dict(legacy=True)]
)
def test_all_tasks_in_one_call(options, images):
    model = build(**options).eval()
    (folded,) = model.forward_folded(images, [2, 0])
    for i, task_id in enumerate((2, 0)):
        assert_close(folded[i], model(images, task_id)[0], atol=1e-5, rtol=1e-5)
    assert not torch.allclose(folded[0], folded[1], atol=1e-3), 'tasks go to other experts'


@pytest.mark.parametrize('noise', ['none', 'softplus'])
def test_every_parameter_learns(noise, images):
    model = build(noise=noise).train()
    model.forward_folded(images, [0, 1, 2])[0].square().sum().backward()
    still = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert not still


def test_where_the_mixtures_are():
    kinds = [[isinstance(part, Routed) for part in (layer.attn, layer.mlp)] for layer in build().layers]
    assert kinds == [[True, False], [False, True]] * 2


def test_use_is_counted_in_training_and_kept(images):
    model = build()
    model.eval()(images, 1)
    assert usage(model) == 0
    model.train()(images, 1)
    tokens = 2 * 7
    assert usage(model) == pytest.approx(0.05 * tokens * (2 * 3 + 2 * 2))
    again = build()
    again.load_state_dict(model.state_dict())
    assert usage(again) == pytest.approx(usage(model))
    legacy = build(legacy=True)
    legacy.eval()(images, 1)
    assert usage(legacy) == pytest.approx(usage(model))


def test_noise_is_for_training_only(images):
    for legacy in (False, True):
        model = build(noise='softplus', legacy=legacy).eval()
        assert torch.equal(model(images, 0)[0], model(images, 0)[0]) is not legacy


def test_probabilities(images):
    for legacy, excess in ((False, 0.0), (True, 6e-4)):
        with trace_routing() as trace:
            build(legacy=legacy).eval()(images, 0)
        (record,) = [r for r in trace.records if r.layer == 'backbone/block1/mlp']
        sums = record.probabilities.sum(dim=-1)
        assert_close(sums, torch.full_like(sums, 1 + excess), atol=1e-6, rtol=0)


def test_published_start():
    torch.manual_seed(0)
    model = ModSquadViT(TASKS, arch=dict(embed_dims=64, num_layers=2, num_heads=2), attn_experts=4)
    model.init_weights()
    mixture = model.layers[1].mlp.mixture  # 64 -> 64 hidden units
    assert 0.9 / 64 < mixture.fc1.weight.abs().max() <= 1 / 64
    assert 0.9 / 8 < mixture.fc2.bias.abs().max() <= 1 / 8
    assert model.task_embedding['depth'].std() > 0.7
    assert 0.01 < model.layers[0].attn.router.weight['depth'].std() < 0.03


def test_a_size_between_patches(images):
    with pytest.raises(ValueError, match=r'\(32, 40\), not a multiple of its patch size 16'):
        build()(images[..., :40], 0)


def test_numbers_that_do_not_fit():
    with pytest.raises(ValueError, match='one per mixture, but got .3, 4, 5. for 2 mixtures'):
        build(num_experts=[3, 4, 5])
    with pytest.raises(ValueError, match='heads=3 query heads per token, of attn_experts=2'):
        build(attn_experts=2)


# d / heads as in the architecture's name; what the release's own models have without their heads, 13 tasks.
PUBLISHED = {
    'att_mlp_base_MI_twice': (dict(arch='base', attn_experts=24), 202_753_536),
    'att_mlp_small_MI_twice': (dict(), 53_332_224),
    'att_mlp_small_MI': (dict(attn_experts=12, mlp_ratio=1, twice_attn=False), 31_146_240),
    'mlp16E4_small_MI': (dict(attn_experts=6, twice_attn=False, twice_mlp=False), 66_745_344),
    'mlp16E4_small': (dict(attn_experts=6, twice_attn=False, twice_mlp=False, noise='softplus'), 68_063_232),
    'small_att_MI': (dict(num_experts=1, top_k=1, twice_attn=False, twice_mlp=False), 34_411_008),
    'mlp_small_4_MI': (dict(attn_experts=6, num_experts=8, twice_attn=False), 30_537_984),
}


@pytest.mark.parametrize('name', PUBLISHED)
def test_published_sizes(name):
    options, wanted = PUBLISHED[name]
    with torch.device('meta'):
        model = ModSquadViT([f'task{i}' for i in range(13)], **options)
    norms = 4 * model.embed_dims  # `norm` and `fc_norm` of the head
    assert sum(p.numel() for p in model.parameters()) + norms == wanted


def test_head_puts_patches_in_their_place():
    tasks = dict(flow=dict(type='DenseRegression', out_channels=2), scene=dict(type='DenseRegression', out_channels=5))
    head = ModSquadHead(tasks, in_channels=4, patch_size=2, image_tasks=['scene'])
    with torch.no_grad():  # pixel (row, column), channel of a patch: 100 row + 10 column + channel
        head.predict['flow'].weight.zero_()
        head.predict['flow'].bias.copy_(torch.tensor([0.0, 1, 10, 11, 100, 101, 110, 111]))
    out = head(Features.wrap(torch.randn(1, 4, 2, 3))).logits
    assert out['flow'].shape == (1, 2, 4, 6)
    assert out['scene'].shape == (1, 5, 1, 1)
    assert out['flow'][0, 1, :, 2:4].tolist() == [[1, 11], [101, 111]] * 2
    with pytest.raises(ValueError, match=r"names the tasks \['room'\]"):
        ModSquadHead(tasks, in_channels=4, image_tasks=['room'])


class Nothing(torch.nn.Module):
    def forward(self, x):
        return 0 * x


def test_stochastic_depth_drops_both_branches_in_training():
    model = build(drop_path_rate=0.3)
    assert_close([layer.drop_path.drop_prob for layer in model.layers], [0.0, 0.1, 0.2, 0.3])
    layer, x = model.layers[1], torch.randn(2, 3, 7, 12)
    layer.drop_path = Nothing()
    assert torch.equal(layer.train()(x, TASKS[:2]), x)
    assert not torch.equal(layer.eval()(x, TASKS[:2]), x)


def test_a_task_alone_with_its_experts_in_another_order(images):
    model = build().train()
    model(images, 1)
    use = model.expert_use('depth')
    assert sum(x.sum() for x in use.values()) > 0
    assert sum(x.sum() for x in model.expert_use('edge').values()) == 0
    (wanted,) = model.eval()(images, 1)
    orders = {name: torch.arange(len(count)).flip(0) for name, count in use.items()}
    assert model.keep_task('depth', orders) == dict(attn_experts=[5, 5], num_experts=[6, 6])
    model.tasks, before = ['depth'], use
    for part in model.mixtures().values():
        part.tasks = ['depth']
    assert_close(model(images, 0)[0], wanted, atol=1e-5, rtol=1e-5)
    assert all(torch.equal(x, before[name].flip(0)) for name, x in model.expert_use('depth').items())


def test_start_of_the_other_weights():
    model = ModSquadViT(TASKS, arch=dict(embed_dims=128, num_layers=2, num_heads=2), img_size=32)
    torch.nn.init.zeros_(model.pos_embed)
    model.init_weights()
    layer = model.layers[0]
    for weight in (layer.mlp.layers[1].weight, layer.attn.mixture.key_value.weight, model.cls_token, model.pos_embed):
        assert weight.std().item() == pytest.approx(0.02, rel=0.25)
    assert all((x.bias == 0).all() for x in model.modules() if isinstance(x, torch.nn.Linear))
    assert model.level_channels == [128]


@pytest.mark.parametrize('size', [(40, 48), (48, 40)])
def test_image_sizes_that_do_not_fit(size):
    with pytest.raises(ValueError, match='has to be a multiple of patch_size=16'):
        build(img_size=size)


def test_as_many_query_heads_as_are_chosen():
    """Three of three, whose gates are the whole distribution."""
    with trace_routing() as trace:
        build(attn_experts=3).eval()(torch.randn(1, 3, 32, 48), 0)
    assert_close(trace.records[0].gates.sum(dim=-1), torch.ones(1, 7))


def test_a_head_for_one_task():
    tasks = dict(flow=dict(type='DenseRegression', out_channels=2), scene=dict(type='DenseRegression', out_channels=5))
    build_head = lambda: ModSquadHead(tasks, in_channels=64, patch_size=2, image_tasks=['scene'])  # noqa: E731
    feats = Features.wrap(torch.randn(2, 64, 2, 3))
    for task, kept in (('flow', []), ('scene', ['scene'])):
        head = build_head()
        assert head.predict[task].weight.std().item() == pytest.approx(0.02, rel=0.15)
        assert head.predict[task].bias.abs().max() == 0
        wanted = head(feats).logits[task]
        assert head.keep_task(task) == dict(image_tasks=kept)
        assert (head.norm is None, head.image_norm is None) == (task == 'scene', task == 'flow')
        assert_close(head(feats).logits, {task: wanted})
    one = ModSquadHead(dict(scene=tasks['scene']), in_channels=4, image_tasks=['scene'])
    assert one.norm is None
    x = torch.randn(2, 4, 2, 3)
    mean = one.image_norms['scene'](one.image_norm(x.mean(dim=(2, 3))))
    assert_close(one(Features.wrap(x)).logits['scene'][..., 0, 0], one.predict['scene'](mean))
