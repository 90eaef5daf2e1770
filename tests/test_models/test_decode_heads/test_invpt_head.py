"""InvPT: the fast form against the literal one, subsets, sizes, options."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from benchmarks.literal_invpt import LiteralInvPTHead, LiteralViT
from mlore_mm.models.layers.invpt_stage import InvPTStage
from mlore_mm.registry import MODELS
from tests.mlore_models import TASKS, make_samples, randomise


def build(tasks=('semseg', 'normals', 'edge'), depth=4, size=(64, 128), seed=0, backbone=(), **head):
    model = MODELS.build(
        dict(
            type='MultiTaskEncoderDecoder',
            tasks={name: TASKS[name] for name in tasks},
            backbone=dict(
                type='PlainViT',
                arch=dict(embed_dims=8, num_layers=depth, num_heads=2),
                img_size=size,
                out_indices=[0, depth // 2, depth - 1],
                drop_path_rate=0.0,
                with_cls_token=True,
                **dict(backbone),
            ),
            decode_head=dict(type='InvPTHead', in_channels=[8] * 3, embed_dims=10, extra_dims=6, **head),
            criterion=dict(type='MultiTaskCriterion', auxiliary=dict(intermediate=1.0)),
        )
    )
    randomise(model, seed)
    return model


@pytest.mark.parametrize('training', [False, True])
def test_fast_form_equals_the_literal_one(training):
    """Outputs and gradients of every parameter and level, in double precision."""
    head = build(depth=3).decode_head.double().train(training)
    feats = [torch.randn(2, 8, 4, 8, dtype=torch.float64, requires_grad=True) for _ in range(3)]
    leaves = [*head.parameters(), *feats]
    results = []
    for form in (head, LiteralInvPTHead(head)):
        form.train(training)
        output = form(feats)
        maps = [*output.logits.values(), *output.auxiliary.get('intermediate', {}).values()]
        gradients = torch.autograd.grad(
            sum((x**2).sum() for x in maps), leaves, allow_unused=not training, materialize_grads=not training
        )
        results.append([*maps, *gradients])
    assert len(results[0]) == len(leaves) + (6 if training else 3)
    for ours, wanted in zip(*results, strict=True):
        assert_close(ours, wanted, rtol=1e-7, atol=1e-8 * max(1.0, wanted.abs().max().item()))


def test_the_literal_encoder_is_the_encoder():
    vit, images = build().backbone.eval(), torch.randn(2, 3, 64, 128)
    with torch.no_grad():
        assert_close(LiteralViT(vit)(images), vit(images), rtol=1e-4, atol=1e-5)


def test_a_subset_is_a_part_of_the_whole_and_spares_the_last_layers():
    model, images = build().eval(), torch.randn(2, 3, 64, 128)
    with torch.no_grad():
        full, part = model(images), model(images, tasks=['normals'])
    assert_close(part, {'normals': full['normals']})
    called = []
    for name, module in model.decode_head.fusion.predict.items():
        module.register_forward_hook(lambda *args, name=name: called.append(name))
    with torch.no_grad():
        model(images, tasks=['edge'])
    assert called == ['edge']
    assert model.decode_head.required_tasks(['edge']) == ['semseg', 'normals', 'edge']


def test_all_tasks_matter_to_each():
    """An intermediate prediction of one task reaches the logits of another."""
    head = build().decode_head.eval()
    feats = [torch.randn(1, 8, 4, 8) for _ in range(3)]
    with torch.no_grad():
        before = head(feats).logits['normals']
        head.intermediate['edge'].bias += 1
        assert (head(feats).logits['normals'] - before).abs().max() > 1e-4


def test_intermediate_predictions_are_supervised_in_training_only():
    model, images = build().train(), torch.randn(2, 3, 64, 128)
    losses = model(images, make_samples(model, images), mode='loss')
    assert [name for name in losses if 'intermediate' in name] == [f'loss_intermediate_{t}' for t in model.tasks]
    sum(losses.values()).backward()
    assert [name for name, p in model.named_parameters() if p.grad is None] == []
    assert model.eval().decode(images).auxiliary == {}


@pytest.mark.parametrize('size', [(64, 64), (128, 192)])
def test_other_sizes(size):
    model = build().eval()
    with torch.no_grad():
        assert model(torch.randn(1, 3, *size))['semseg'].shape[-2:] == size


def test_a_size_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match='got a level of 6x8 at stride 16.*Set size_divisor=64'):
        build()(torch.randn(1, 3, 96, 128))


def test_levels_of_a_pyramid():
    head = build(depth=3, strides=(8, 16, 32)).decode_head.eval()
    with torch.no_grad():
        output = head([torch.randn(1, 8, 8, 16), torch.randn(1, 8, 4, 8), torch.randn(1, 8, 2, 4)])
    assert output.logits['semseg'].shape == (1, 5, 16, 32)


def test_what_cannot_be_built():
    with pytest.raises(ValueError, match='needs a level of stride 8 or 16 where `strides` says 4'):
        build(strides=(4, 16, 32))
    with pytest.raises(ValueError, match='begins at stride 32, which a level of stride 64 is not'):
        build(strides=(16, 16, 64))
    with pytest.raises(ValueError, match="attn_scale is one of .*but got 'both'"):
        build(attn_scale='both')
    with pytest.raises(ValueError, match='uses three levels'):
        MODELS.build(dict(type='InvPTHead', tasks=TASKS, in_channels=[8] * 4))


def test_scale_of_the_head_width():
    """The usual scale is larger by the root of the number of heads."""
    by_width, by_head = (build(attn_scale=scale).decode_head.eval() for scale in ('width', 'head'))
    feats = [torch.randn(1, 8, 4, 8) for _ in range(3)]
    with torch.no_grad():
        assert (by_width(feats).logits['semseg'] - by_head(feats).logits['semseg']).abs().max() > 1e-4
        for stage in by_head.stages:
            stage.attn.query.weight *= 2**-0.5
            stage.attn.query.bias *= 2**-0.5
        assert_close(by_width(feats).logits, by_head(feats).logits, rtol=1e-4, atol=1e-4)


def test_bfloat16_trains_without_nan():
    model, images = build(('semseg', 'edge'), depth=3, size=(64, 64)).train(), torch.randn(2, 3, 64, 64)
    samples = make_samples(model, images)
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    totals = []
    for _ in range(12):
        with torch.autocast('cpu', torch.bfloat16):
            total = sum(model(images, samples, mode='loss').values())
        totals.append(total)
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
    assert torch.stack(totals).isfinite().all()
    assert totals[-1] < 0.9 * totals[0]


def test_spread_of_the_initial_weights_of_a_stage():
    stages = build().decode_head.stages
    stages.apply(lambda module: module.init_weights() if isinstance(module, InvPTStage) else None)
    linear = [module for module in stages.modules() if isinstance(module, nn.Linear)]
    assert torch.cat([module.weight.flatten() for module in linear]).std().item() == pytest.approx(0.02, rel=0.1)
    assert all((module.bias == 0).all() for module in linear)


def test_stochastic_depth_is_by_image_for_all_tasks():
    stage = build(drop_path_rate=0.5).decode_head.stages[0].train()
    update = stage._drop_images(torch.ones(3, 64, 1, 1, 1)).flatten(1)
    assert torch.equal(update, update[:1].expand(3, -1))
    assert set(update.flatten().tolist()) == {0.0, 2.0}
    stage.drop_path = torch.nn.Module()
    stage.drop_path.forward = lambda x: 0 * x
    tokens = torch.randn(3, 2, 2, 4, 16)
    assert torch.equal(stage(tokens)[0], tokens)
    assert build().decode_head.stages[0].drop_path is not None


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(strides=(16, 16, 24)), 'begins at stride 32, which a level of stride 24 is not'),
        (dict(strides=(16, 16)), 'uses three levels'),
        (dict(strides=(16, 8, 16)), 'needs a level of stride 16 or 32 where `strides` says 8'),
        (dict(num_heads=3), 'embed_dims=16 is not a multiple of num_heads=3'),
    ],
)
def test_more_that_cannot_be_built(options, message):
    with pytest.raises(ValueError, match=message):
        build(**options)


@pytest.mark.parametrize('size', [(4, 6), (6, 4)])
def test_either_side_of_a_level(size):
    with pytest.raises(ValueError, match='multiples of 4, that is, of 64 pixels'):
        build(depth=3).decode_head([torch.randn(1, 8, *size)] * 3)


def test_widths_and_the_start_of_the_sum():
    head = build(mlp_ratio=3).decode_head
    assert [stage.mlp[0].weight.shape for stage in head.stages] == [(48, 16), (24, 8), (12, 4)]
    assert [stage.attn.pool for stage in head.stages] == [2, 4, 8]
    for conv in head.fusion.conv.values():
        nn.init.ones_(conv.weight)
    head.fusion.init_weights()
    weights = torch.cat([conv.weight.flatten() for conv in head.fusion.conv.values()])
    assert weights.std().item() == pytest.approx(0.02, rel=0.1)
