"""TaskPrompter: the fast form against the literal one, subsets, what it refuses, options."""

import pytest
import torch
from torch.testing import assert_close

from benchmarks.literal_task_prompter import LiteralTaskPrompterHead, LiteralTaskPrompterViT
from mlore_mm.models.backbones import TaskPrompterViT, task_prompter_vit
from mlore_mm.models.backbones.vit import PlainViT
from mlore_mm.models.features import Features
from mlore_mm.registry import MODELS
from tests.mlore_models import TASKS, make_samples, randomise

SIZE = (64, 96)  # 4 x 6 tokens


def build(tasks=('semseg', 'normals', 'edge'), depth=3, seed=0, backbone=(), **head):
    model = MODELS.build(
        dict(
            type='MultiTaskEncoderDecoder',
            tasks={name: TASKS[name] for name in tasks},
            backbone=dict(
                dict(
                    type='TaskPrompterViT',
                    arch=dict(embed_dims=8, num_layers=depth, num_heads=2),
                    img_size=SIZE,
                    out_indices=[0, depth - 1],
                    channel_windows=4,
                    drop_path_rate=0.0,
                ),
                **dict(backbone),
            ),
            decode_head=dict(
                dict(type='TaskPrompterHead', in_channels=[8] * 2, embed_dims=6, final_dims=10, num_heads=2), **head
            ),
        )
    )
    randomise(model, seed)
    return model


@pytest.mark.parametrize('training', [False, True])
@pytest.mark.parametrize(('windows', 'cross_task'), [(4, False), (1, True)])
def test_fast_form_equals_the_literal_one(windows, cross_task, training):
    """Outputs and gradients of every parameter, in double precision."""
    model = build(backbone=dict(channel_windows=windows), cross_task=cross_task).double().train(training)
    literal = LiteralTaskPrompterViT(model.backbone), LiteralTaskPrompterHead(model.decode_head)
    images = torch.randn(2, 3, *SIZE, dtype=torch.float64)
    results = []
    for encoder, decoder in ((model.backbone, model.decode_head), literal):
        maps = list(decoder(encoder(images, list(model.tasks))).logits.values())
        results.append([*maps, *torch.autograd.grad(sum((x**2).sum() for x in maps), list(model.parameters()))])
    for ours, wanted in zip(*results, strict=True):
        assert_close(ours, wanted, rtol=1e-7, atol=1e-8 * max(1.0, wanted.abs().max().item()))


@pytest.mark.parametrize('cross_task', [False, True])
def test_a_subset_is_a_part_of_the_whole(cross_task):
    model, images = build(cross_task=cross_task).eval(), torch.randn(2, 3, *SIZE)
    called = []
    for task, module in model.decode_head.levels[0].fuse.items():
        module.register_forward_hook(lambda *args, task=task: called.append(task))
    with torch.no_grad():
        part = model(images, tasks=['normals'])
        assert called == (['semseg', 'normals', 'edge'] if cross_task else ['normals'])
        assert_close(part, {'normals': model(images)['normals']})


def test_every_prompt_reaches_every_task():
    model, images = build().eval(), torch.randn(1, 3, *SIZE)
    with torch.no_grad():
        before = model(images)['semseg']
        model.backbone.prompts[2] *= -1
        assert (model(images)['semseg'] - before).abs().max() > 1e-4


@pytest.mark.parametrize('update', ['linear', 'attended'])
def test_every_parameter_learns(update):
    model, images = build(backbone=dict(prompt_update=update), cross_task=True).train(), torch.randn(2, 3, *SIZE)
    sum(model(images, make_samples(model, images), mode='loss').values()).backward()
    assert [name for name, p in model.named_parameters() if p.grad is None] == []


def test_attended_channels_by_hand():
    """One window: the softmax over channels of their affinity to the prompt's map, times the channels' maps."""
    layer = build(backbone=dict(channel_windows=1, prompt_update='attended')).backbone.layers[0]
    maps, patches = torch.randn(2, 3, 24), torch.randn(2, 24, 8)
    affinity = layer._channel_affinity(maps, patches)
    wanted = torch.zeros(2, 3, 24)
    for b in range(2):
        for t in range(3):
            weights = torch.tensor([(maps[b, t] * patches[b, :, c]).sum() * 24**-0.5 for c in range(8)]).softmax(0)
            wanted[b, t] = sum(w * patches[b, :, c] for c, w in enumerate(weights))
    assert_close(layer._attended(affinity, patches), wanted)


def test_attended_windows_are_attended_one_by_one():
    """Four windows give what one window gives on each quarter of the map."""
    four = build(backbone=dict(prompt_update='attended')).backbone.layers[0]
    maps, patches = torch.randn(2, 3, 4, 6), torch.randn(2, 4, 6, 8)
    whole = four._attended(four._channel_affinity(maps.flatten(2), patches.flatten(1, 2)), patches.flatten(1, 2))
    one = build(backbone=dict(prompt_update='attended', channel_windows=1, img_size=(32, 48))).backbone.layers[0]
    for rows in (slice(0, 2), slice(2, 4)):
        for columns in (slice(0, 3), slice(3, 6)):
            m, p = maps[:, :, rows, columns].flatten(2), patches[:, rows, columns].flatten(1, 2)
            part = one._attended(one._channel_affinity(m, p), p)
            assert_close(whole.view(2, 3, 4, 6)[:, :, rows, columns].flatten(2), part)


def test_prompts_and_patches_drop_for_themselves():
    layer = build(backbone=dict(drop_path_rate=0.5)).backbone.layers[-1].train()
    tokens = torch.randn(64, 3 + 24, 8)
    torch.manual_seed(0)
    update = layer._drop(torch.ones_like(tokens))
    dropped = (update[:, 0, 0] == 0), (update[:, 3, 0] == 0)
    assert all(0 < x.sum() < 64 for x in dropped)
    assert (dropped[0] != dropped[1]).any()
    assert_close(update[:, :3], update[:, :1, :1].expand(-1, 3, 8))


def test_another_size_is_refused():
    with pytest.raises(ValueError, match='built for images of 64x96 and got 96x64.*cannot be resized'):
        build()(torch.randn(1, 3, 96, 64))


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(channel_windows=8), 'channel_windows=8 has to be a square'),
        (dict(channel_windows=9), 'whose root divides the grid of 4x6'),
        (dict(channel_windows=0), 'channel_windows=0 has to be a square'),
        (dict(prompt_len=2), 'one prompt per task, but got prompt_len=2'),
        (dict(prompt_update='none'), "prompt_update is one of .* but got 'none'"),
        (dict(img_size=(60, 96)), 'multiple of patch_size=16'),
    ],
)
def test_what_cannot_be_built(options, message):
    with pytest.raises(ValueError, match=message):
        build(backbone=options)


def test_a_head_without_prompts():
    with pytest.raises(ValueError, match='needs .*spatial_affinity.* of the encoder, which has'):
        build().decode_head([torch.randn(1, 8, 4, 6)] * 2)


def test_weights_of_a_plain_vit_load():
    """The class token and its position are left out, positions are resized, prompts keep their initial values."""
    plain = PlainViT(dict(embed_dims=8, num_layers=3, num_heads=2), img_size=(64, 64), with_cls_token=True)
    randomise(plain)
    ours = build(seed=3).backbone
    missing, unexpected = ours.load_state_dict(plain.state_dict(), strict=False)
    assert unexpected == []
    assert {name.split('.')[-2] for name in missing if name != 'prompts'} == {'to_pixels', 'from_pixels'}
    assert ours.pos_embed.shape == (1, 24, 8)
    assert_close(ours.layers[1].attn['attn'].in_proj_weight, plain.layers[1].attn['attn'].in_proj_weight)


def test_initial_prompts():
    torch.manual_seed(0)
    encoder = TaskPrompterViT(['a', 'b', 'c'], dict(embed_dims=800, num_layers=1, num_heads=2), SIZE, channel_windows=4)
    encoder.init_weights()
    assert encoder.prompts.abs().max() <= 2
    assert_close(encoder.prompts.mean().item(), 0.717, atol=0.06, rtol=0)
    assert_close(encoder.prompts.std().item(), 0.785, atol=0.06, rtol=0)


def test_levels_that_the_head_takes():
    """Patches and affinities of the same depths."""
    model, images = build().eval(), torch.randn(1, 3, *SIZE)
    head = build(in_channels=[8], in_index=[1]).decode_head.eval()
    with torch.no_grad():
        feats = model.backbone(images)
        last = Features(tuple(feats.shared[1:]), extras={key: x[1:] for key, x in feats.extras.items()})
        alone = build(in_channels=[8]).decode_head.eval()
        alone.load_state_dict(head.state_dict())
        assert_close(head(feats).logits, alone(last).logits)


def test_blocks_are_checkpointed_in_training_only(monkeypatch):
    calls = []
    monkeypatch.setattr(
        task_prompter_vit, 'checkpoint', lambda layer, *args, use_reentrant: calls.append(1) or layer(*args)
    )
    encoder, images = build(backbone=dict(with_cp=True)).backbone.eval(), torch.randn(1, 3, *SIZE)
    encoder(images)
    assert not calls
    encoder.train()(images)
    assert len(calls) == 3
    assert encoder.level_channels == [8, 8]


def test_stochastic_depth_in_training():
    encoder = build(backbone=dict(drop_path_rate=0.4)).backbone
    assert_close([layer.drop_path.drop_prob for layer in encoder.layers], [0.0, 0.2, 0.4])
    layer, tokens = encoder.layers[2], torch.randn(2, 3 + 24, 8)
    layer.drop_path.forward = lambda x: 0 * x
    assert torch.equal(layer.train()(tokens)[0], tokens)
    assert not torch.equal(layer.eval()(tokens)[0], tokens)


@pytest.mark.parametrize('size', [(64, 112), (80, 96)])
def test_either_side_of_the_image(size):
    with pytest.raises(ValueError, match='built for images of 64x96'):
        build()(torch.randn(1, 3, *size))


def test_affinities_are_those_of_the_chosen_depths():
    """Raw scores of the prompts over all tokens, and products of their maps with every channel, by hand."""
    layer, tokens = build(backbone=dict(channel_windows=1)).backbone.layers[0].eval(), torch.randn(2, 3 + 24, 8)
    with torch.no_grad():
        spatial, channel = layer(tokens, affinities=True)[1]
        normed = layer.ln1(tokens)
        q, k, _ = layer.attn['attn'].project(normed)
        assert_close(spatial, torch.einsum('bhtc,bhpc->bhtp', q, k)[:, :, :3])
        assert_close(channel[..., 0, 0], layer.to_pixels(normed[:, :3]) @ normed[:, 3:])
        assert layer(tokens)[1] is None


def test_heads_that_do_not_share_the_channels():
    with pytest.raises(ValueError, match='8 channels cannot be shared by num_heads=3'):
        build(num_heads=3)
    with pytest.raises(ValueError, match='multiple of patch_size=16'):
        build(backbone=dict(img_size=(64, 90)))
