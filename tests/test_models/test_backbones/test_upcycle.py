import pytest
import torch
from torch.nn.functional import gelu, interpolate, linear
from torch.testing import assert_close

from mlore_mm.models.backbones import M3ViT, PlainViT
from mlore_mm.models.backbones.upcycle import upcycle

ARCH = dict(embed_dims=8, num_layers=4, num_heads=2)


def test_all_experts_with_even_gates_are_the_dense_mlp():
    torch.manual_seed(0)
    w1, b1, w2, b2 = torch.randn(32, 8), torch.randn(32), torch.randn(8, 32), torch.randn(8)
    experts, x = upcycle(w1, b1, w2, b2, num_experts=4, width=8, top_k=4), torch.randn(8)
    out = sum(
        (second @ gelu(first @ x + bias) + shift) / 4 for first, bias, second, shift in zip(*experts, strict=True)
    )
    assert_close(out, linear(gelu(linear(x, w1, b1)), w2, b2), atol=1e-4, rtol=1e-4)
    more = upcycle(w1, b1, w2, b2, num_experts=6, width=8, top_k=4)
    assert_close(more[0][4], more[0][0], msg='slices are repeated')
    with pytest.raises(ValueError, match='32 hidden units cannot be cut into experts of 12'):
        upcycle(w1, b1, w2, b2, 4, 12, 4)


def test_weights_of_a_dense_vit_load():
    torch.manual_seed(0)
    dense = PlainViT(ARCH, img_size=32, with_cls_token=True)
    dense.init_weights()
    model = M3ViT(['semseg', 'depth'], ARCH, img_size=(32, 64), num_experts=8, top_k=4, gate_init='normal')
    model.load_state_dict(dense.state_dict())
    assert_close(model.layers[0].ffn.layers[1].weight, dense.layers[0].ffn.layers[1].weight)
    assert_close(model.layers[1].mixture.fc1.weight[6], dense.layers[1].ffn.layers[0][0].weight[16:24])
    assert_close(model.layers[3].attn['attn'].in_proj_weight, dense.layers[3].attn['attn'].in_proj_weight)
    assert_close(model.pos_embed[:, 0], dense.pos_embed[:, 0])
    again = M3ViT(['semseg', 'depth'], ARCH, img_size=(32, 64), num_experts=8, top_k=4)
    again.load_state_dict(model.state_dict())


def test_positions_of_a_grid_that_is_no_square():
    model = M3ViT(['depth'], ARCH, img_size=(32, 64), num_experts=4)
    state = dict(model.state_dict(), pos_embed=torch.zeros(1, 1 + 6, 8))
    with pytest.raises(ValueError, match='has 7 positions'):
        model.load_state_dict(state)


def test_chosen_experts_are_the_dense_mlp_on_average():
    """Each of 8 experts is among the 2 chosen in a quarter of the cases, then with the gate 1/8."""
    w1, b1, w2, b2 = (torch.randn(s, dtype=torch.float64) for s in ((32, 8), (32,), (8, 32), (8,)))
    experts, x = upcycle(w1, b1, w2, b2, num_experts=8, width=16, top_k=2), torch.randn(8).double()
    average = sum(
        (second @ gelu(first @ x + bias) + shift) / 8 / 4 for first, bias, second, shift in zip(*experts, strict=True)
    )
    assert_close(average, linear(gelu(linear(x, w1, b1)), w2, b2))


def test_positions_are_resized_bilinearly():
    model = M3ViT(['depth'], ARCH, img_size=(32, 64), num_experts=4)
    positions = torch.randn(1, 1 + 9, 8)
    model.load_state_dict(dict(model.state_dict(), pos_embed=positions))
    maps = positions[:, 1:].transpose(1, 2).unflatten(2, (3, 3))
    wanted = interpolate(maps, size=(2, 4), mode='bilinear').flatten(2).transpose(1, 2)
    assert_close(model.pos_embed, torch.cat([positions[:, :1], wanted], dim=1))


def test_routers_of_the_checkpoint_come_before_the_start():
    model = M3ViT(['depth'], ARCH, img_size=32, num_experts=4)
    dense, router = PlainViT(ARCH, img_size=32, with_cls_token=True).state_dict(), torch.ones(8, 4)
    start = model.layers[3].router.weight['depth'].clone()
    model.load_state_dict({**dense, 'layers.1.router.weight.depth': router})
    assert torch.equal(model.layers[1].router.weight['depth'], router)
    assert torch.equal(model.layers[3].router.weight['depth'], start)
