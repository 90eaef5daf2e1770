import numpy as np
import pytest
import torch
from PIL import Image

from mlore_mm.apis.analysis import token_routing
from mlore_mm.apis.analysis.token_routing import expert_maps, write_photos
from mlore_mm.models.backbones.vit import embed_patches
from mlore_mm.visualization.routing_plot import expert_colors
from tests.systems import SYSTEMS


@pytest.fixture(scope='module')
def model():
    return SYSTEMS['m3vit'].build().eval()


def test_experts_of_each_patch_are_those_that_were_chosen(model):
    torch.manual_seed(0)
    images = torch.randn(2, 3, 64, 96)
    maps = expert_maps(model, images, 'depth')
    assert list(maps) == ['backbone/block1', 'backbone/block3']
    ids, count = maps['backbone/block1']
    assert (ids.shape, count) == ((2, 4, 6), 4)
    layer = model.backbone.layers[1]
    with torch.no_grad():
        x = model.backbone.layers[0](embed_patches(model.backbone, images, 'bilinear')[0])
        u = layer.ln2(x + layer.attn['attn'](layer.ln1(x)))
        wanted = (u @ layer.router.weight['depth']).argmax(dim=-1)
    assert torch.equal(ids.flatten(1), wanted[:, 1:])


def test_query_heads_and_mlps_of_mod_squad():
    model = SYSTEMS['mod_squad'].build().eval()
    images = torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    maps = expert_maps(model, images, 'depth')
    counts = {f'backbone/block{i}/{part}': n for i, (part, n) in enumerate([('attn', 5), ('mlp', 4)] * 2)}
    assert {name: count for name, (_, count) in maps.items()} == counts
    layer = model.backbone.layers[0]
    with torch.no_grad():
        u = layer.ln1(embed_patches(model.backbone, images)[0] + model.backbone.task_embedding['depth'])
        wanted = (u @ layer.attn.router.weight['depth']).argmax(dim=-1)
    assert torch.equal(maps['backbone/block0/attn'][0].flatten(1), wanted[:, 1:])


def test_pictures(model, tmp_path):
    dataset = [dict(inputs=torch.randint(0, 256, (3, 64, 96), dtype=torch.uint8)) for _ in range(2)]
    files = write_photos(model, dataset, tmp_path, 1, ['semseg', 'depth'])
    assert [file.name for file in files] == ['photo0_semseg.png', 'photo0_depth.png']
    assert np.asarray(Image.open(files[0]))[..., :3].std() > 10


def test_a_model_that_routes_no_tokens():
    other = SYSTEMS['pad_net'].build().eval()
    with pytest.raises(ValueError, match="routes tokens for 'depth'"):
        expert_maps(other, torch.randn(1, 3, 64, 96), 'depth')


def test_experts_have_colours_of_their_own():
    colors = expert_colors(16)
    apart = np.abs(colors[:, None] - colors[None]).sum(axis=2) + np.eye(16)
    assert apart.min() > 0.1


def test_photos_are_shown_in_their_own_colours(model, tmp_path, monkeypatch):
    """The pipeline hands on blue, green, red."""
    shown = []
    monkeypatch.setattr(token_routing, 'plot_token_experts', lambda task, photo, maps: shown.append(photo))
    monkeypatch.setattr(token_routing, 'save_figure', lambda figure, path: path)
    photo = torch.arange(3, dtype=torch.uint8)[:, None, None].expand(3, 64, 96)
    assert model.data_preprocessor.bgr_to_rgb
    write_photos(model, [dict(inputs=photo)], tmp_path, 1, ['depth'])
    assert shown[0].shape == (64, 96, 3)
    assert shown[0][0, 0].tolist() == [2, 1, 0]
    files = write_photos(model, [dict(inputs=photo)], tmp_path, 2)
    assert [file.name for file in files] == [f'photo0_{task}.png' for task in model.tasks]
