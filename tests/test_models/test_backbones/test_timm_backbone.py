"""timm's encoders: their own features, what they say about themselves, weights from files."""

import pytest
import torch
from mmengine.config import Config
from torch.testing import assert_close

from mlore_mm.models.backbones import TimmBackbone
from mlore_mm.models.backbones.timm_backbone import _default_indices
from mlore_mm.models.multi_task_encoder_decoder import MultiTaskEncoderDecoder
from tests.shared import REPO

timm = pytest.importorskip('timm')  # of the extra `encoders`
SWIN = dict(depths=(1, 1, 2, 1), embed_dim=12, num_heads=(1, 2, 3, 4), window_size=4)
VIT = dict(model_name='vit_small_patch14_dinov2', options=dict(depth=4, embed_dim=24, num_heads=2))
TASKS = dict(semseg=dict(type='SemSeg', out_channels=3), depth=dict(type='Depth'))
MLORE = dict(type='MLoREDecodeHead', embed_dims=8, ranks=[2, 4], task_rank=2, top_k=1)


def test_features_are_timms_own():
    torch.manual_seed(0)
    ours = TimmBackbone(**VIT, img_size=(56, 70)).eval()
    theirs = timm.create_model(VIT['model_name'], img_size=(56, 70), dynamic_img_size=True, **VIT['options']).eval()
    theirs.load_state_dict(ours.model.state_dict(), strict=False)
    for size in ((56, 70), (28, 84)):
        x = torch.randn(1, 3, *size)
        wanted = theirs.forward_intermediates(x, indices=[0, 1, 2, 3], norm=True, intermediates_only=True)
        assert_close(ours(x), tuple(wanted))


@pytest.mark.parametrize(
    ('name', 'channels', 'strides'),
    [
        ('convnextv2_atto', (40, 80, 160, 320), (4, 8, 16, 32)),
        ('efficientnet_lite0', (24, 40, 112, 320), (4, 8, 16, 32)),
        ('resnet18', (64, 128, 256, 512), (4, 8, 16, 32)),
    ],
)
def test_hierarchical_models_say_what_they_give(name, channels, strides):
    backbone = TimmBackbone(name).eval()
    facts = backbone.facts
    assert (facts.channels, facts.strides, facts.size_divisor) == (channels, strides, 32)
    maps = backbone(torch.randn(1, 3, 64, 96))
    assert [tuple(x.shape[1:]) for x in maps] == [(c, 64 // s, 96 // s) for c, s in zip(channels, strides, strict=True)]


def test_a_config_repeats_nothing_of_the_encoder():
    """Patch 14, mean and std of SigLIP, in_channels and grid: nothing of it is written down."""
    options = dict(depth=4, embed_dim=24, num_heads=2)
    backbone = dict(
        type='TimmBackbone', model_name='vit_so400m_patch14_siglip_gap_224', img_size=(56, 70), options=options
    )
    model = MultiTaskEncoderDecoder(backbone, dict(MLORE, img_size=(56, 70)), tasks=TASKS).eval()
    assert model.decode_head.in_channels == [24] * 4
    assert model.decode_head.blocks()[0].router.grid == (4, 5)
    assert model.data_preprocessor.size_divisor == 14
    assert_close(model.data_preprocessor.mean.flatten(), torch.full((3,), 127.5))
    batch = model.data_preprocessor(dict(inputs=[torch.zeros(3, 50, 60, dtype=torch.uint8)]))
    assert batch['inputs'].shape == (1, 3, 56, 70)
    assert model(batch['inputs'])['depth'].shape == (1, 1, 56, 70)


def test_what_a_config_says_comes_first():
    backbone = dict(type='TimmBackbone', model_name='resnet18')
    model = MultiTaskEncoderDecoder(
        backbone,
        dict(MLORE, in_index=[2], grid=(3, 3)),
        tasks=TASKS,
        data_preprocessor=dict(type='MultiTaskDataPreprocessor', size_divisor=64),
    )
    assert model.data_preprocessor.size_divisor == 64
    assert model.decode_head.in_channels == [256]
    assert model.decode_head.blocks()[0].router.grid == (3, 3)


@pytest.mark.parametrize('suffix', ['.pth', '.safetensors'])
def test_weights_of_a_file(tmp_path, suffix):
    source, path = TimmBackbone('resnet18'), tmp_path / f'weights{suffix}'
    state = source.model.state_dict()
    if suffix == '.pth':
        torch.save(state, path)
    else:
        from safetensors.torch import save_file

        save_file(state, path)
    target = TimmBackbone('resnet18', checkpoint_path=str(path))
    target.init_weights()
    assert_close(target.model.state_dict(), state)
    four = TimmBackbone('resnet18', checkpoint_path=str(path), in_channels=4)
    four.init_weights()
    assert four.model.conv1.weight.shape[1] == 4
    assert four.eval()(torch.randn(1, 4, 32, 32))[0].isfinite().all()


def test_positions_are_resampled_to_the_training_size(tmp_path):
    """DINOv2's by plain bicubic interpolation, as its authors do."""
    source = TimmBackbone(**VIT, img_size=(56, 56))
    torch.nn.init.normal_(source.model.pos_embed)
    torch.save(source.model.state_dict(), tmp_path / 'vit.pth')
    target = TimmBackbone(**VIT, img_size=(42, 70), checkpoint_path=str(tmp_path / 'vit.pth'))
    target.init_weights()
    grid = source.model.pos_embed[:, 1:].transpose(1, 2).unflatten(2, (4, 4))
    wanted = torch.nn.functional.interpolate(grid, size=(3, 5), mode='bicubic').flatten(2).transpose(1, 2)
    assert_close(target.model.pos_embed[:, 1:], wanted)


def test_a_file_of_another_model_is_refused(tmp_path):
    torch.save(TimmBackbone('resnet18').model.state_dict(), tmp_path / 'weights.pth')
    with pytest.raises(ValueError, match=r'weights.pth lacks .* weights of resnet34'):
        TimmBackbone('resnet34', checkpoint_path=str(tmp_path / 'weights.pth')).init_weights()


def test_without_a_hub_the_file_to_fetch_is_named(monkeypatch):
    monkeypatch.setenv('HF_HUB_OFFLINE', '1')

    def offline(*args, **options):
        raise OSError('no network')

    monkeypatch.setattr('timm.models.load_state_dict_from_hf', offline)
    backbone = TimmBackbone('vit_small_patch14_dinov2.lvd142m', pretrained=True, options=dict(VIT['options']))
    with pytest.raises(ValueError, match=r'no network.*vit_small_patch14_dinov2.lvd142m/resolve.*checkpoint_path'):
        backbone.init_weights()


def test_unknown_models_and_sizes_are_named():
    with pytest.raises(ValueError, match="no model 'resnet1234'"):
        TimmBackbone('resnet1234')
    with pytest.raises(ValueError, match=r'\(30, 30\), not a multiple of 32'):
        TimmBackbone('resnet18')(torch.randn(1, 3, 30, 30))
    hiera = TimmBackbone('hiera_tiny_224', img_size=(64, 64)).eval()
    assert hiera(torch.randn(1, 3, 64, 64))[0].shape == (1, 96, 16, 16)
    with pytest.raises(ValueError, match=r'built for images of \(64, 64\) and cannot take \(64, 96\)'):
        hiera(torch.randn(1, 3, 64, 96))


@pytest.mark.parametrize('config', sorted((REPO / 'configs/encoders').glob('*.py')), ids=lambda path: path.stem)
def test_configs_name_published_weights(config):
    name = Config.fromfile(config).model.backbone.model_name
    assert timm.is_model_pretrained(name.partition('.')[0])
    assert name in timm.list_pretrained(f'{name.partition(".")[0]}*')


@pytest.mark.parametrize(
    ('name', 'options'),
    [
        ('vit_small_patch16_dinov3', dict(depth=4, embed_dim=64, num_heads=2)),
        ('eva02_large_patch14_448', dict(depth=4, embed_dim=64, num_heads=2)),
        ('vit_base_patch16_siglip_gap_512', dict(depth=4, embed_dim=24, num_heads=2)),
        (
            'swinv2_base_window12to16_192to256',
            SWIN,
        ),
        ('hiera_base_224', dict(stages=(1, 1, 2, 1), embed_dim=16, num_heads=1)),
        ('convnext_tiny', dict(depths=(1, 1, 1, 1), dims=(8, 16, 24, 32))),
    ],
)
def test_every_family_runs_small(name, options):
    backbone = TimmBackbone(name, img_size=(128, 160), options=options).eval()
    divisor = backbone.facts.size_divisor
    height, width = (-(-side // divisor) * divisor for side in (128, 160))
    with torch.no_grad():
        maps = backbone(torch.randn(1, 3, height, width))
    shapes = [
        (c, height // s, width // s) for c, s in zip(backbone.facts.channels, backbone.facts.strides, strict=True)
    ]
    assert [tuple(x.shape[1:]) for x in maps] == shapes
    assert all(x.isfinite().all() for x in maps)


def test_default_levels():
    """The ends of the quarters of a plain model; strides from 4 on of a hierarchical one."""
    assert _default_indices([(8, 16)] * 12, plain=True) == [2, 5, 8, 11]
    assert _default_indices([(8, 2), (8, 4), (8, 8), (8, 16), (8, 32)], plain=False) == [1, 2, 3, 4]


def test_what_is_left_out_and_what_is_on():
    """The final norm of a plain model is part of its levels by default, and of no other's."""
    plain = TimmBackbone(**VIT, img_size=56, drop_path_rate=0.3, with_cp=True, out_indices=(0, 2))
    assert (plain.img_size, plain.norm, plain.out_indices) == ((56, 56), True, [0, 2])
    assert_close([block.drop_path1.drop_prob for block in plain.model.blocks[1:]], [0.1, 0.2])
    assert plain.model.grad_checkpointing
    without = TimmBackbone(**VIT, img_size=56, norm=False, out_indices=(-1,))
    assert isinstance(without.model.norm, torch.nn.Identity)
    assert not without.model.grad_checkpointing
    x = torch.randn(1, 3, 56, 56)
    normed = TimmBackbone(**VIT, img_size=56, out_indices=(-1,)).eval()
    normed.model.load_state_dict(without.model.state_dict(), strict=False)
    tokens = without.eval()(x)[0].flatten(2).transpose(1, 2)
    assert_close(normed(x)[0].flatten(2).transpose(1, 2), normed.model.norm(tokens), atol=1e-4, rtol=1e-4)
    hierarchical = TimmBackbone('resnet18', in_channels=4)
    assert not hierarchical.norm
    assert (hierarchical.facts.mean, hierarchical.facts.std) == (None, None)  # those of RGB say nothing here


def test_depths_of_the_parameters():
    """Embeddings before the first block, the last norm behind the last one; stages where a model has some."""
    plain = TimmBackbone(**VIT, img_size=56)
    for depths in (plain.block_depths(), plain.stage_depths()):
        assert depths.of['model.pos_embed'] == 0
        assert [depths.of[f'model.blocks.{i}.attn.qkv.weight'] for i in range(4)] == [1, 2, 3, 4]
        assert depths.count == 4
    stages = TimmBackbone('convnext_tiny', options=dict(depths=(1, 1, 2, 1), dims=(8, 16, 24, 32)))
    assert stages.stage_depths().count == 4
    assert stages.block_depths().count > 4


@pytest.mark.parametrize('size', [(28, 30), (30, 28)])
def test_both_sides_are_checked(size):
    with pytest.raises(ValueError, match='not a multiple of 14'):
        TimmBackbone(**VIT, img_size=56)(torch.randn(1, 3, *size))


def test_windows_are_made_for_the_padded_size():
    backbone = TimmBackbone('swinv2_base_window12to16_192to256', img_size=(120, 160), options=SWIN)
    assert backbone.eval()(torch.randn(1, 3, 128, 160))[0].shape == (1, 12, 32, 40)


def test_options_that_a_model_does_not_take_are_named():
    with pytest.raises(ValueError, match='resnet18 does not take these options: .*colour'):
        TimmBackbone('resnet18', options=dict(colour='red'))


def test_a_fixed_size_is_kept_where_it_is_asked_for():
    """By default a model takes any size; with ``dynamic_img_size=False`` it refuses all but its own."""
    options = dict(VIT['options'], dynamic_img_size=False)
    fixed = TimmBackbone(VIT['model_name'], img_size=(56, 70), options=options).eval()
    assert fixed(torch.zeros(1, 3, 56, 70))[0].shape[2:] == (4, 5)
    with pytest.raises(ValueError, match=r'built for images of \(56, 70\) and cannot take \(70, 56\)'):
        fixed(torch.zeros(1, 3, 70, 56))
