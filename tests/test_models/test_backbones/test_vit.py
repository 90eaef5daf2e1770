import pytest
import torch
import torch.nn.functional as F
from mmengine.registry import init_default_scope
from torch.testing import assert_close

from mlore_mm.models.backbones import PlainViT, vit
from mlore_mm.models.backbones.vit import embed_patches, resize_pos_embed
from mlore_mm.registry import MODELS
from tests.mlore_models import randomise

ARCH = dict(embed_dims=16, num_layers=4, num_heads=2)


def make(**options) -> PlainViT:
    model = PlainViT(**dict(dict(arch=ARCH, img_size=(32, 48), drop_path_rate=0.0), **options))
    randomise(model)
    return model.eval()


def test_features_equal_mmsegs():
    """The same keys, the same features at every level, apart from the class token, which ours does not have."""
    init_default_scope('mlore_mm')
    ours = make(out_indices=(0, 3))
    theirs = MODELS.build(
        dict(
            type='mmseg.VisionTransformer',
            img_size=(32, 48),
            out_indices=(0, 3),
            with_cls_token=False,
            patch_bias=True,
            final_norm=True,
            norm_cfg=dict(type='LN', eps=1e-6),
            **ARCH,
        )
    )
    theirs.eval()
    missing, unexpected = theirs.load_state_dict(ours.state_dict(), strict=False)
    assert (missing, unexpected) == (['cls_token'], [])  # which it drops before the blocks
    images = torch.randn(2, 3, 32, 48)
    with torch.no_grad():
        for a, b in zip(ours(images), theirs(images), strict=True):
            assert_close(a, b, atol=1e-5, rtol=1e-5)


def test_default_levels_are_the_quarters():
    with torch.device('meta'):
        assert PlainViT('large').out_indices == [5, 11, 17, 23]
        assert PlainViT('small').out_indices == [2, 5, 8, 11]
    assert make(out_indices=(-1,)).out_indices == [3]


@pytest.mark.parametrize(('arch', 'size', 'count'), [('small', 512, 21_983_232), ('base', 512, 86_433_792)])
def test_published_numbers_of_parameters(arch, size, count):
    with torch.device('meta'):
        assert sum(p.numel() for p in PlainViT(arch, size).parameters()) == count


def test_only_the_last_level_is_normalised():
    model, images = make(), torch.randn(1, 3, 32, 48)
    before = model(images)
    torch.nn.init.zeros_(model.ln1.weight)
    after = model(images)
    assert all(torch.equal(a, b) for a, b in zip(before[:3], after[:3], strict=True))
    assert_close(after[3], model.ln1.bias[:, None, None].expand(16, 2, 3)[None])


def test_checkpointing_changes_nothing():
    images, results = torch.randn(2, 3, 32, 48), []
    for with_cp in (False, True):
        model = make(with_cp=with_cp).train()
        sum(x.square().mean() for x in model(images)).backward()
        results.append([p.grad for p in model.parameters()])
    assert_close(results[0], results[1])


def test_stochastic_depth_rises_linearly():
    model = PlainViT(ARCH, 32, drop_path_rate=0.15)
    assert_close([layer.drop_path.drop_prob for layer in model.layers], [0.0, 0.05, 0.1, 0.15])


def test_class_position_is_unused():
    model, images = make(), torch.randn(1, 3, 32, 48)
    before = model(images)
    model.pos_embed.data[:, 0] = 1e3
    assert torch.equal(model(images)[3], before[3])


def test_position_embedding_of_another_grid_is_resized_on_loading():
    square, wide = make(img_size=(64, 64)), make()
    state = {**square.state_dict(), 'cls_token': torch.zeros(1, 1, 16)}
    wide.load_state_dict(state, strict=True)
    wanted = resize_pos_embed(square.pos_embed[:, 1:], (4, 4), (2, 3))
    assert_close(wide.pos_embed[:, 1:], wanted)
    assert_close(wide.pos_embed[:, :1], square.pos_embed[:, :1])
    without = {**state, 'pos_embed': square.pos_embed[:, 1:]}
    wide.load_state_dict(without, strict=True)
    assert_close(wide.pos_embed[:, 1:], wanted)
    with pytest.raises(ValueError, match=r"'pos_embed' has 19 positions, which is not a square grid"):
        wide.load_state_dict({**state, 'pos_embed': torch.zeros(1, 19, 16)})


def test_position_embedding_of_another_image_size_is_resized_on_the_fly():
    model, images = make(), torch.randn(1, 3, 64, 96)
    larger = make(img_size=(64, 96))
    larger.load_state_dict(
        {
            **model.state_dict(),
            'pos_embed': torch.cat(
                [model.pos_embed[:, :1], resize_pos_embed(model.pos_embed[:, 1:], (2, 3), (4, 6))], 1
            ),
        }
    )
    assert_close(model(images)[3], larger(images)[3])


def test_sizes_that_do_not_fit():
    with pytest.raises(ValueError, match=r'\(33, 48\), not a multiple of its patch size 16'):
        make()(torch.randn(1, 3, 33, 48))
    with pytest.raises(ValueError, match=r'img_size=\(40, 48\) has to be a multiple'):
        make(img_size=(40, 48))
    with pytest.raises(ValueError, match="'giant'"):
        PlainViT('giant')


def test_init_weights_loads_the_pretrained_weights(tmp_path):
    source, options = make(), dict(arch=ARCH, img_size=(32, 48))
    torch.save(dict(state_dict=source.state_dict()), tmp_path / 'a.pth')
    model = PlainViT(**options, init_cfg=dict(type='Pretrained', checkpoint=str(tmp_path / 'a.pth')))
    model.init_weights()
    assert_close(model.state_dict(), source.state_dict(), rtol=0, atol=0)


def test_spread_of_initial_weights():
    model = PlainViT(dict(embed_dims=64, num_layers=1, num_heads=2), 128)
    model.init_weights()
    layer = model.layers[0]
    for weight in (layer.ffn.layers[1].weight, layer.attn['attn'].in_proj_weight, model.pos_embed):
        assert weight.std().item() == pytest.approx(0.02, rel=0.1)


def test_positions_are_resized_bicubically_in_full_precision():
    positions = torch.randn(1, 12, 5)
    for given in (positions, positions.half()):
        maps = given.float().transpose(1, 2).view(1, 5, 3, 4)
        wanted = F.interpolate(maps, size=(5, 6), mode='bicubic', align_corners=False).flatten(2).transpose(1, 2)
        assert_close(resize_pos_embed(given, (3, 4), (5, 6)), wanted, rtol=0, atol=0)


def test_a_stored_embedding_of_the_same_wide_grid_stays():
    """24 positions and one for the class are a 5x5 square to the eye, and the model's own 4x6 grid."""
    source, model = make(img_size=(64, 96)), make(img_size=(64, 96))
    without = {**source.state_dict(), 'pos_embed': source.pos_embed[:, 1:]}
    model.load_state_dict(without)
    assert_close(model.pos_embed[:, 1:], source.pos_embed[:, 1:], rtol=0, atol=0)


def test_each_side_is_checked():
    with pytest.raises(ValueError, match='not a multiple'):
        make()(torch.zeros(1, 3, 32, 49))


def test_levels_leave_the_class_token_out():
    model, images = make(with_cls_token=True), torch.randn(2, 3, 32, 48)
    tokens, grid = embed_patches(model, images)
    tokens = model.layers[0](tokens)
    assert (tokens.shape[1], grid) == (1 + 2 * 3, (2, 3))
    assert_close(model(images)[0][1, :, 1, 2], tokens[1, 1 + 1 * 3 + 2])


def test_biases_and_the_class_token_at_the_start():
    model = make(with_cls_token=True, arch=dict(embed_dims=256, num_layers=1, num_heads=2))
    model.init_weights()
    assert all((part.bias == 0).all() for part in model.modules() if isinstance(part, torch.nn.Linear))
    assert model.cls_token.std().item() == pytest.approx(0.02, rel=0.2)
    assert model.layers[0].attn['attn'].out_proj.weight.std().item() == pytest.approx(0.02, rel=0.1)


class Nothing(torch.nn.Module):
    def forward(self, x):
        return 0 * x


def test_stochastic_depth_may_drop_both_branches():
    layer = make().layers[2]
    layer.drop_path = Nothing()
    x = torch.randn(2, 5, 16)
    assert torch.equal(layer(x), x)


def test_class_tokens_of_a_checkpoint():
    """Kept where the model has one; the token of a distilled network never is."""
    source, model = make(with_cls_token=True), make(with_cls_token=True)
    torch.nn.init.normal_(source.cls_token)
    model.load_state_dict({**source.state_dict(), 'dist_token': torch.zeros(1, 1, 16)})
    assert torch.equal(model.cls_token, source.cls_token)
    without = make()
    without.load_state_dict({**source.state_dict(), 'dist_token': torch.zeros(1, 1, 16)})
    assert without.cls_token is None


def test_positions_without_a_class_get_a_zero_for_it():
    model = make()
    for grid in ((2, 3), (4, 4)):  # of this model, and a square
        model.load_state_dict({**model.state_dict(), 'pos_embed': torch.ones(1, grid[0] * grid[1], 16)})
        assert model.pos_embed[:, 0].abs().max() == 0
        assert_close(model.pos_embed[:, 1:], torch.ones(1, 6, 16))


@pytest.mark.parametrize(
    ('arch', 'message'),
    [
        (dict(embed_dims=16, num_layers=4, num_heads=3), 'num_heads has to divide'),
        (dict(embed_dims=16, num_layers=0, num_heads=2), 'num_heads has to divide'),
        (dict(embed_dims=16, num_layers=4), 'a dict of embed_dims, num_layers, num_heads'),
    ],
)
def test_architectures_that_cannot_be(arch, message):
    with pytest.raises(ValueError, match=message):
        PlainViT(arch)


def test_options_of_the_parts():
    model = make(img_size=32, patch_size=8, mlp_ratio=2.5, final_norm=False, in_channels=4)
    assert (model.grid, model.layers[0].ffn.layers[1].in_features) == ((4, 4), 40)
    assert [name for name in model.state_dict() if name.startswith('ln1')] == []
    assert [x.shape for x in model(torch.randn(1, 4, 16, 32))] == [(1, 16, 2, 4)] * 4
    facts = model.facts
    assert (facts.channels, facts.strides, facts.size_divisor) == ((16,) * 4, (8,) * 4, 8)
    with pytest.raises(ValueError, match=r'img_size=\(48, 40\) has to be a multiple'):
        make(img_size=(48, 40))


@pytest.mark.parametrize(('depth', 'levels'), [(1, [0]), (2, [0, 1]), (3, [0, 1, 2]), (5, [0, 1, 2, 4])])
def test_quarters_of_few_blocks(depth, levels):
    assert PlainViT(dict(ARCH, num_layers=depth), 32).out_indices == levels


def test_blocks_are_checkpointed_in_training_only(monkeypatch):
    calls = []
    monkeypatch.setattr(vit, 'checkpoint', lambda layer, x, use_reentrant: calls.append(use_reentrant) or layer(x))
    model, images = make(with_cp=True), torch.randn(1, 3, 32, 48)
    model.eval()(images)
    assert not calls
    model.train()(images)
    assert calls == [False] * 4
    make().train()(images)
    assert len(calls) == 4


def test_tokens_have_the_precision_of_the_patches():
    model, images = make(with_cls_token=True), torch.randn(1, 3, 32, 48)
    with torch.autocast('cpu', torch.bfloat16):
        assert embed_patches(model, images)[0].dtype == torch.bfloat16
