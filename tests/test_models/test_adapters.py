"""LoRA in encoders of every kind: silent at first, trained alone, folded without a trace."""

import pytest
import torch
from mmengine.registry import init_default_scope
from torch import nn
from torch.testing import assert_close

from mlore_mm.engine.checkpoints import leave_out_frozen, put_back_frozen
from mlore_mm.models.adapters import LoRA, fold_adapters, is_adapter_weight, own_weights, without_adapters
from mlore_mm.models.multi_task_encoder_decoder import MultiTaskEncoderDecoder
from mlore_mm.registry import MODELS

pytest.importorskip('peft')  # of the extra `encoders`
pytest.importorskip('timm')
TASKS = dict(semseg=dict(type='SemSeg', out_channels=3), depth=dict(type='Depth'))
HEAD = dict(type='MultiTaskFCNHead', embed_dims=4)
VIT = dict(
    type='TimmBackbone',
    model_name='vit_small_patch14_dinov2',
    img_size=(28, 42),
    options=dict(depth=2, embed_dim=16, num_heads=2, init_values=1.0),
    out_indices=(0, 1),
)
TINY = dict(embed_dims=8, num_layers=4, num_heads=2)
ENCODERS = {
    'timm': VIT,
    'timm, convolutions': dict(type='TimmBackbone', model_name='convnextv2_atto', options=dict(depths=(1, 1, 1, 1))),
    'ours': dict(type='PlainViT', arch=TINY, img_size=32),
    'mmseg': dict(
        type='mmseg.SwinTransformer', embed_dims=8, depths=(1, 1, 1, 1), num_heads=(1, 1, 2, 2), window_size=4
    ),
}
SIZES = {'timm': (28, 42)}
TARGETS = {'timm, convolutions': ['mlp.fc1', 'mlp.fc2']}  # of 1x1


def build(encoder='timm', **options):
    init_default_scope('mlore_mm')
    torch.manual_seed(0)
    adapter = dict(type='LoRA', r=2, targets=TARGETS.get(encoder))
    options = dict(dict(frozen_backbone=True, adapter=adapter), **options)
    head = dict(HEAD, in_index=[0, 1])
    return MultiTaskEncoderDecoder(ENCODERS[encoder], head, tasks=TASKS, **options)


def stir(model):
    """Adapters as after training."""
    for name, parameter in model.backbone.named_parameters():
        if '.lora_B.' in name:
            nn.init.normal_(parameter, std=0.3)
    return model


@pytest.mark.parametrize('encoder', ENCODERS)
def test_it_starts_as_the_encoder_is_and_folds_into_it(encoder):
    images = torch.randn(2, 3, *SIZES.get(encoder, (32, 64)))
    plain, model = build(encoder, adapter=None).eval(), build(encoder).eval()
    with torch.no_grad():
        before = model.extract_feat(images).shared
        assert_close(before, plain.extract_feat(images).shared)
        stirred = stir(model).extract_feat(images).shared
        assert any((a - b).abs().max() > 1e-3 for a, b in zip(before, stirred, strict=True))
        assert fold_adapters(model.backbone) > 0
        assert_close(model.extract_feat(images).shared, stirred, atol=1e-5, rtol=1e-5)
    assert list(model.state_dict()) == list(plain.state_dict())  # nothing is left of it


def test_only_adapters_and_decoder_learn():
    model = stir(build()).train()
    before = {name: x.clone() for name, x in model.named_parameters()}
    optimizer = torch.optim.SGD([x for x in model.parameters() if x.requires_grad], lr=0.1)
    sum(x.square().mean() for x in model(torch.randn(2, 3, 28, 42)).values()).backward()
    optimizer.step()
    moved = {name for name, x in model.named_parameters() if not torch.equal(x, before[name])}
    in_encoder = {name for name in moved if name.startswith('backbone.')}
    assert in_encoder == {name for name in before if is_adapter_weight(name)} != set()
    assert moved - in_encoder
    assert not model.backbone.training


def test_dropout_of_adapters_follows_the_training():
    model = build(adapter=dict(type='LoRA', r=2, dropout=0.5))
    drop = [m for m in model.backbone.modules() if isinstance(m, nn.Dropout) and m.p == 0.5]
    assert drop
    assert all(m.training for m in drop)
    model.eval()
    assert not any(m.training for m in drop)


def test_deploy_folds_and_gives_the_same_predictions():
    model, images = stir(build()).eval(), torch.randn(1, 3, 28, 42)
    with torch.no_grad():
        before = model(images)
        model.switch_to_deploy()
        after = model(images)
    assert_close(after, before, atol=1e-5, rtol=1e-5)
    assert not any(is_adapter_weight(name) for name in model.state_dict())


def test_weights_of_a_file_come_under_their_own_names(tmp_path):
    source = build(adapter=None)
    torch.save({name[len('model.') :]: x for name, x in source.backbone.state_dict().items()}, tmp_path / 'vit.pth')
    model = MultiTaskEncoderDecoder(
        dict(VIT, checkpoint_path=str(tmp_path / 'vit.pth')),
        dict(HEAD, in_index=[0, 1]),
        tasks=TASKS,
        frozen_backbone=True,
        adapter=dict(type='LoRA', r=2),
    )
    model.init_weights()
    qkv = model.backbone.model.blocks[1].attn.qkv
    assert_close(qkv.base_layer.weight, source.backbone.model.blocks[1].attn.qkv.weight)

    stir(model)
    weights = {name: x.clone() for name, x in model.state_dict().items()}
    checkpoint = dict(meta={}, state_dict=dict(model.state_dict()))
    leave_out_frozen(checkpoint, model)
    kept = [name for name in checkpoint['state_dict'] if name.startswith('backbone.')]
    assert kept
    assert all(is_adapter_weight(name) for name in kept)
    put_back_frozen(checkpoint, model, 'x.pth')
    assert checkpoint['state_dict'].keys() == weights.keys()
    assert all(torch.equal(checkpoint['state_dict'][name], x) for name, x in weights.items())


def test_layer_decay_reaches_adapters():
    backbone = build().backbone
    depths = backbone.block_depths()
    assert {depths.of[name] for name in depths.of if '.1.attn.qkv.lora_A' in name} == {2}


def test_targets_that_match_nothing_name_what_there_is():
    with pytest.raises(ValueError, match=r"ends in 'q_proj'.*model\.blocks\.N\.attn\.qkv \(2\)"):
        build(adapter=dict(type='LoRA', targets=['q_proj']))
    names = [n for n, _ in build(adapter=dict(type='LoRA', targets='attn.qkv')).named_parameters() if 'lora_A' in n]
    assert len(names) == 2


def test_layers_that_are_not_called_are_named():
    """Swin v2 takes the weights of its fused projection and adds a bias of its own."""
    encoder = MODELS.build(
        dict(type='TimmBackbone', model_name='swinv2_tiny_window8_256', img_size=(64, 64),
             options=dict(depths=(1, 1, 1, 1), embed_dim=8, num_heads=(1, 1, 2, 2), window_size=2))
    )  # fmt: skip
    model = build()
    model.backbone, model._adapter_checked = encoder, False
    LoRA(r=2, targets=['attn.qkv', 'attn.proj']).attach(encoder)
    with pytest.raises(ValueError, match=r'does not call .*attn\.qkv.*are called: .*attn\.proj'):
        model.extract_feat(torch.randn(1, 3, 64, 64))


@pytest.mark.parametrize('wrong', [dict(frozen_backbone=False), dict(frozen_stages=1)])
def test_an_encoder_that_is_not_frozen_as_a_whole_is_refused(wrong):
    with pytest.raises(ValueError, match='set model.frozen_backbone=True, and leave frozen_stages out'):
        build(**wrong)


def test_convolutions_by_groups_are_left_alone():
    """The two small matrices would mix what the groups keep apart."""
    encoder = nn.ModuleDict(dict(apart=nn.Conv2d(8, 8, 3, groups=4), mixed=nn.Conv2d(8, 8, 3), linear=nn.Linear(8, 8)))
    with pytest.raises(ValueError, match=r"ends in 'apart'. There are mixed \(1\), linear \(1\)"):
        LoRA(targets=['mixed', 'apart']).attach(encoder)


@pytest.mark.parametrize(('alpha', 'factor'), [(None, 1), (6, 3)])
def test_what_is_added_by_hand(alpha, factor):
    """alpha / r times B A, whose A and B are all that learns; the scale is the rank's by default."""
    encoder = nn.ModuleDict(dict(first=nn.Linear(3, 4), second=nn.Linear(4, 2)))
    weight, state = encoder['first'].weight.detach().clone(), list(encoder.state_dict())
    LoRA(r=2, alpha=alpha, targets='first').attach(encoder)
    learning = {name for name, p in encoder.named_parameters() if p.requires_grad}
    assert learning == {'first.lora_A.default.weight', 'first.lora_B.default.weight'}
    a, b = encoder['first'].lora_A['default'].weight, encoder['first'].lora_B['default'].weight
    assert (a.shape, b.shape, b.abs().max()) == ((2, 3), (4, 2), 0)
    nn.init.normal_(b)
    assert list(own_weights(encoder)) == [
        'first.base_layer.weight',
        'first.base_layer.bias',
        'second.weight',
        'second.bias',
    ]
    with without_adapters(encoder):
        assert list(encoder.state_dict()) == state
    assert fold_adapters(encoder) == 1
    assert_close(encoder['first'].weight, (weight + factor * b @ a).detach())
    assert list(encoder.state_dict()) == state


def test_names_of_adapters():
    assert is_adapter_weight('blocks.0.qkv.lora_A.default.weight')
    assert not is_adapter_weight('blocks.0.lora_Attention.weight')
    with pytest.raises(ValueError, match='rank of 1 or more, but got 0'):
        LoRA(r=0)
    attention = nn.ModuleDict(dict(attn=nn.MultiheadAttention(8, 2), conv=nn.Conv2d(3, 8, 3)))
    with pytest.raises(ValueError, match=r'no linear layer that an adapter .* there are conv \(1\)'):
        LoRA().attach(attention)  # which takes its projection's weights and does not call it
