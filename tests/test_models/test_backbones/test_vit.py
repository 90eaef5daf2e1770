import pytest
import torch
import torch.nn.functional as F
from mmengine.registry import init_default_scope
from torch.testing import assert_close

from mlore_mm.models.backbones import PlainViT
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
