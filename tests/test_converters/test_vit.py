"""Converted ViT weights give the features of the network they were made for."""

import runpy
from functools import partial

import numpy as np
import pytest
import torch
from mmengine.registry import init_default_scope
from torch.testing import assert_close

from mlore_mm.converters.vit import augreg_to_timm, read_vit, timm_to_mm
from mlore_mm.registry import MODELS
from tests.shared import REPO

DIMS, DEPTH, HEADS, GRID = 24, 3, 2, 4
ENCODER = dict(embed_dims=DIMS, num_layers=DEPTH, num_heads=HEADS)
IMAGE = torch.linspace(-1, 1, 3 * 64 * 64).sin().view(1, 3, 64, 64)


def augreg_arrays(seed: int = 0) -> dict[str, np.ndarray]:
    """A random ViT as Google stores it."""
    rng, size = np.random.default_rng(seed), DIMS // HEADS
    shapes = {
        'cls': (1, 1, DIMS),
        'embedding/kernel': (16, 16, 3, DIMS),
        'embedding/bias': (DIMS,),
        'Transformer/posembed_input/pos_embedding': (1, GRID * GRID + 1, DIMS),
        'Transformer/encoder_norm/scale': (DIMS,),
        'Transformer/encoder_norm/bias': (DIMS,),
        'head/kernel': (DIMS, 5),
        'head/bias': (5,),
    }
    for i in range(DEPTH):
        block = f'Transformer/encoderblock_{i}/'
        for norm in ('LayerNorm_0', 'LayerNorm_2'):
            shapes.update({f'{block}{norm}/scale': (DIMS,), f'{block}{norm}/bias': (DIMS,)})
        for part in ('query', 'key', 'value'):
            key = f'{block}MultiHeadDotProductAttention_1/{part}/'
            shapes.update({f'{key}kernel': (DIMS, HEADS, size), f'{key}bias': (HEADS, size)})
        key = f'{block}MultiHeadDotProductAttention_1/out/'
        shapes.update({f'{key}kernel': (HEADS, size, DIMS), f'{key}bias': (DIMS,)})
        for dense, (a, b) in (('Dense_0', (DIMS, 4 * DIMS)), ('Dense_1', (4 * DIMS, DIMS))):
            shapes.update({f'{block}MlpBlock_3/{dense}/kernel': (a, b), f'{block}MlpBlock_3/{dense}/bias': (b,)})
    return {key: rng.normal(0, 0.2, shape).astype(np.float32) for key, shape in shapes.items()}


def google_features(w: dict[str, np.ndarray], image: torch.Tensor, class_token: bool = False) -> torch.Tensor:
    """The forward pass written for Google's layout: (1, C, h, w) after the final norm."""
    w = {key: torch.from_numpy(value).double() for key, value in w.items()}
    norm = lambda x, key: torch.nn.functional.layer_norm(x, (DIMS,), w[f'{key}/scale'], w[f'{key}/bias'], 1e-6)  # noqa: E731
    patches = image.double().unfold(2, 16, 16).unfold(3, 16, 16)  # (1, 3, h, w, 16, 16)
    x = torch.einsum('bchwij,ijcd->bhwd', patches, w['embedding/kernel']).flatten(1, 2) + w['embedding/bias']
    positions = w['Transformer/posembed_input/pos_embedding']
    x = torch.cat([w['cls'], x], dim=1) + positions if class_token else x + positions[:, 1:]
    for i in range(DEPTH):
        block = f'Transformer/encoderblock_{i}/'
        attention = f'{block}MultiHeadDotProductAttention_1/'
        y = norm(x, f'{block}LayerNorm_0')
        project = partial(torch.einsum, 'bnd,dhk->bhnk', y)
        q, k, v = (
            project(w[f'{attention}{p}/kernel']) + w[f'{attention}{p}/bias'][:, None] for p in ('query', 'key', 'value')
        )
        mixed = ((q @ k.transpose(2, 3)) / (DIMS // HEADS) ** 0.5).softmax(dim=-1) @ v
        x = x + torch.einsum('bhnk,hkd->bnd', mixed, w[f'{attention}out/kernel']) + w[f'{attention}out/bias']
        y = (
            norm(x, f'{block}LayerNorm_2') @ w[f'{block}MlpBlock_3/Dense_0/kernel']
            + w[f'{block}MlpBlock_3/Dense_0/bias']
        )
        y = torch.nn.functional.gelu(y) @ w[f'{block}MlpBlock_3/Dense_1/kernel'] + w[f'{block}MlpBlock_3/Dense_1/bias']
        x = x + y
    x = norm(x, 'Transformer/encoder_norm')
    return x[:, int(class_token) :].transpose(1, 2).unflatten(2, (GRID, GRID)).float()


def features(config: dict, state: dict, image: torch.Tensor = IMAGE) -> torch.Tensor:
    init_default_scope('mlore_mm')
    model = MODELS.build(config)
    model.eval()  # mmseg's does not return itself
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert (missing, unexpected) == ([], [])
    with torch.no_grad():
        return model(image)[-1]


PLAIN = dict(type='PlainViT', arch=ENCODER, img_size=64)
MMSEG = dict(
    type='mmseg.VisionTransformer',
    img_size=64,
    patch_bias=True,
    final_norm=True,
    norm_cfg=dict(type='LN', eps=1e-6),
    **ENCODER,
)


def test_augreg_to_plain_vit():
    arrays = augreg_arrays()
    state, left_out = timm_to_mm(augreg_to_timm(arrays))
    assert left_out == []
    assert_close(features(PLAIN, state), google_features(arrays, IMAGE), atol=1e-4, rtol=1e-4)


def test_augreg_to_mmseg():
    arrays = augreg_arrays()
    state, _ = timm_to_mm(augreg_to_timm(arrays))
    assert_close(features(MMSEG, state), google_features(arrays, IMAGE, class_token=True), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize('class_token', [True, False])
def test_augreg_to_mmpretrain(class_token):
    pytest.importorskip('mmpretrain')
    arrays = augreg_arrays()
    state, _ = timm_to_mm(augreg_to_timm(arrays), 'mmpretrain', class_position='keep' if class_token else 'drop')
    arch = dict(ENCODER, feedforward_channels=4 * DIMS)
    config = dict(
        type='mmpretrain.VisionTransformer', arch=arch, img_size=64, out_type='featmap', with_cls_token=class_token
    )
    assert_close(features(config, state), google_features(arrays, IMAGE, class_token), atol=1e-4, rtol=1e-4)


def test_timm_model_and_files(tmp_path):
    """timm's own network and its own reader of .npz agree with ours, through each kind of file."""
    vision_transformer = pytest.importorskip('timm.models.vision_transformer')
    model = vision_transformer.VisionTransformer(
        img_size=64, embed_dim=DIMS, depth=DEPTH, num_heads=HEADS, num_classes=5
    ).eval()
    np.savez(tmp_path / 'vit.npz', **augreg_arrays())
    model.load_pretrained(str(tmp_path / 'vit.npz'))
    torch.save(model.state_dict(), tmp_path / 'vit.pth')
    files = ['vit.npz', 'vit.pth']
    if pytest.importorskip('safetensors'):
        from safetensors.torch import save_file

        save_file(model.state_dict(), tmp_path / 'vit.safetensors')
        files.append('vit.safetensors')
    with torch.no_grad():
        wanted = model.forward_features(IMAGE)[:, 1:].transpose(1, 2).unflatten(2, (GRID, GRID))
    for name in files:
        state, left_out = timm_to_mm(read_vit(tmp_path / name))
        assert sorted(left_out) == ([] if name == 'vit.npz' else ['head.bias', 'head.weight'])
        assert_close(features(MMSEG, state), wanted, atol=1e-5, rtol=1e-5)


def test_other_patch_grid():
    """Resized in the file or by the model, the position embedding is the same; timm's resizing agrees."""
    timm_state = augreg_to_timm(augreg_arrays())
    config, image = dict(PLAIN, img_size=(48, 96)), IMAGE[:, :, :48].repeat(1, 1, 1, 2)[..., :96]
    state, _ = timm_to_mm(timm_state, grid=(3, 6))
    assert state['pos_embed'].shape == (1, 19, DIMS)
    assert torch.equal(state['pos_embed'][:, 0], timm_state['pos_embed'][:, 0])
    assert_close(features(config, state, image), features(config, timm_to_mm(timm_state)[0], image))
    back, _ = timm_to_mm({**timm_state, 'pos_embed': state['pos_embed']}, grid=(3, 6), source_grid=(3, 6))
    assert torch.equal(back['pos_embed'], state['pos_embed'])


@pytest.mark.parametrize(('given', 'wanted'), [('keep', 16), ('add', 17), ('drop', 16)])
def test_embedding_without_class_position(given, wanted):
    timm_state = augreg_to_timm(augreg_arrays())
    whole = timm_state['pos_embed']
    timm_state['pos_embed'] = whole[:, 1:]
    state, _ = timm_to_mm(timm_state, class_position=given)
    assert state['pos_embed'].shape[1] == wanted
    assert torch.equal(state['pos_embed'][:, -16:], whole[:, 1:])
    assert ('cls_token' in state) == (given != 'drop')
    assert_close(features(PLAIN, state), features(PLAIN, timm_to_mm({**timm_state, 'pos_embed': whole})[0]))


def test_distilled_models_lose_their_second_token():
    timm_state = augreg_to_timm(augreg_arrays())
    whole = timm_state['pos_embed']
    distilled = {
        **timm_state,
        'dist_token': torch.zeros(1, 1, DIMS),
        'head_dist.bias': torch.zeros(5),
        'pos_embed': torch.cat([whole[:, :1], torch.ones(1, 1, DIMS), whole[:, 1:]], dim=1),
    }
    state, left_out = timm_to_mm(distilled)
    assert torch.equal(state['pos_embed'], whole)
    assert left_out == ['dist_token', 'head_dist.bias']


def test_what_cannot_be_converted_says_why(tmp_path):
    timm_state = augreg_to_timm(augreg_arrays())
    with pytest.raises(ValueError, match=r'1 unknown keys, such as .*ls1\.gamma.*LayerScale'):
        timm_to_mm({**timm_state, 'blocks.0.ls1.gamma': torch.ones(DIMS)})
    with pytest.raises(ValueError, match=r'18 positions of pos_embed do not fit a square grid.*--source-grid H W'):
        timm_to_mm({**timm_state, 'pos_embed': torch.zeros(1, 18, DIMS)})
    with pytest.raises(ValueError, match='do not fit 3 x 3 = 9 patches'):
        timm_to_mm(timm_state, source_grid=(3, 3))
    with pytest.raises(ValueError, match="no array 'embedding/kernel'"):
        augreg_to_timm(dict(weights=np.zeros(1)))
    np.savez(tmp_path / 'pickled.npz', **{'embedding/kernel': np.array([dict()], dtype=object)})
    with pytest.raises(ValueError, match='allow_pickle=False'):
        read_vit(tmp_path / 'pickled.npz')


@pytest.mark.parametrize(
    ('key', 'value', 'told'),
    [
        ('blocks.1.mlp.fc2.bias', None, r'ffn.layers.1.bias of block 1 is missing, where other blocks have \(24,\)'),
        (
            'blocks.0.norm1.bias',
            torch.ones(7),
            r'ln1.bias of block 0 is \(7,\), where other blocks have \(24,\)',
        ),
        (
            'patch_embed.proj.bias',
            None,
            r'patch_embed.projection.bias is missing, where \(24,\) is expected',
        ),
        ('norm.weight', torch.ones(5), r'ln1.weight is \(5,\), where \(24,\) is expected'),
        ('norm.bias', None, '^ln1.bias is missing'),
    ],
)
def test_tensors_that_are_missing_or_odd_are_named(key, value, told):
    state = augreg_to_timm(augreg_arrays())
    state.pop(key) if value is None else state.update({key: value})
    with pytest.raises(ValueError, match=told):
        timm_to_mm(state)


def test_a_whole_block_that_is_missing_is_named():
    state = {key: x for key, x in augreg_to_timm(augreg_arrays()).items() if not key.startswith('blocks.1.')}
    with pytest.raises(ValueError, match='attn.attn.in_proj_bias of block 1 is missing'):
        timm_to_mm(state)


def test_biases_and_a_norm_that_the_variant_lacks_are_no_mistake():
    state = augreg_to_timm(augreg_arrays())
    state = {key: x for key, x in state.items() if not key.endswith('qkv.bias') and not key.startswith('norm.')}
    converted, _ = timm_to_mm(state)
    assert set(converted) & {'layers.0.attn.attn.in_proj_bias', 'ln1.weight'} == set()
    assert 'layers.2.attn.attn.in_proj_weight' in converted


def test_command_line(tmp_path, capsys):
    arrays = augreg_arrays()
    np.savez(tmp_path / 'vit.npz', **arrays)
    tool = runpy.run_path(str(REPO / 'tools' / 'model_converters' / 'vit2mm.py'))
    tool['main'](
        [str(tmp_path / 'vit.npz'), str(tmp_path / 'out' / 'vit.pth'), '--layout', 'mmpretrain', '--grid', '2', '3']
    )
    assert 'Wrote 42 tensors in the layout of mmpretrain' in capsys.readouterr().out
    stored = torch.load(tmp_path / 'out' / 'vit.pth', weights_only=True)['state_dict']
    assert stored['pos_embed'].shape == (1, 7, DIMS)
    assert 'layers.2.attn.qkv.weight' in stored


def test_numbers_that_are_not_finite_are_named(tmp_path):
    state = augreg_to_timm(augreg_arrays())
    state['norm.bias'][3] = torch.nan
    torch.save(state, tmp_path / 'x.pth')
    with pytest.raises(ValueError, match="x.pth has weight 'norm.bias' with 1 of 24 values that are not finite"):
        read_vit(tmp_path / 'x.pth')
