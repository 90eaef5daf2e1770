import pytest
import torch
from mmengine.registry import init_default_scope
from torch.testing import assert_close

from mlore_mm.models.backbones import PlainViT
from mlore_mm.models.backbones.vit import resize_pos_embed
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
