"""What every decoder does with features, tasks and levels."""

import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

from mlore_mm.models.decode_heads.base import MultiTaskHead
from mlore_mm.models.partially_dynamic import apply_rules
from mlore_mm.registry import MODELS
from mlore_mm.tasks import TaskSet
from tests.mlore_models import TASKS, build_mlore, randomise
from tests.systems import SYSTEMS

FCN = dict(type='MultiTaskFCNHead', embed_dims=6)
MLORE = dict(type='MLoREDecodeHead', embed_dims=8, ranks=[2, 3, 1], task_rank=2, top_k=2, grid=(4, 6))


def build(config, **options):
    tasks = {name: TASKS[name] for name in ('semseg', 'depth')}
    head = MODELS.build(dict(dict(config, tasks=tasks, in_channels=[4, 5]), **options)).eval()
    randomise(head)
    return head


@pytest.fixture(params=[FCN, MLORE], ids=['fcn', 'mlore'])
def config(request):
    return request.param


def test_features_per_task_or_shared(config):
    head, feats = build(config), (torch.randn(2, 4, 4, 6), torch.randn(2, 5, 4, 6))
    shared = head(feats).logits
    per_task = head(dict(semseg=feats, depth=feats)).logits
    assert_close(shared, per_task)
    other = (feats[0] + 1, feats[1])
    changed = head(dict(semseg=feats, depth=other)).logits
    assert_close(changed['semseg'], shared['semseg'])
    assert (changed['depth'] - shared['depth']).abs().max() > 1e-3


def test_levels_are_brought_to_the_grid_of_the_reference(config):
    feats = (torch.randn(1, 4, 8, 12), torch.randn(1, 5, 4, 6), torch.randn(1, 3, 1, 1))
    head = build(config, in_index=[0, 1], reference_level=1)
    scale = 4 if config is MLORE else 1
    assert head(feats).logits['semseg'].shape == (1, 5, 4 * scale, 6 * scale)
    head.reference_level = 0
    assert head(feats).logits['depth'].shape == (1, 1, 8 * scale, 12 * scale)


def test_subset(config):
    head, feats = build(config), (torch.randn(2, 4, 4, 6), torch.randn(2, 5, 4, 6))
    assert_close(head(feats, ['depth']).logits, {'depth': head(feats).logits['depth']})


def test_features_that_do_not_fit_are_named(config):
    head = build(config)
    with pytest.raises(ValueError, match=r'expects in_channels=\[4, 5\], but the backbone returns \[4, 6\]'):
        head((torch.randn(1, 4, 4, 6), torch.randn(1, 6, 4, 6)))
    with pytest.raises(ValueError, match=r'uses levels in_index=\[0, 1\], but the backbone returns 1'):
        head((torch.randn(1, 4, 4, 6),))
    with pytest.raises(ValueError, match='one number of channels per used level'):
        build(config, in_index=[0])
    with pytest.raises(ValueError, match='reference_level=2 is not one of the 2'):
        build(config, reference_level=2)


def test_more_experts_chosen_than_there_are():
    with pytest.raises(ValueError, match='top_k=4 of 3 experts'):
        build(MLORE, top_k=4)


@pytest.mark.parametrize('name', SYSTEMS)
def test_auxiliary_logits_are_computed_in_training_or_on_request(name):
    model = MODELS.build(SYSTEMS[name].config())
    head, images = model.decode_head, torch.randn(2, 3, *SYSTEMS[name].size)
    groups = set(head.auxiliary_groups or ())
    with torch.no_grad():
        assert set(model.train().decode(images).auxiliary) >= groups
        assert model.eval().decode(images).auxiliary == {}
        head.evaluated_groups = frozenset(sorted(groups)[:1])
        assert set(model.decode(images).auxiliary) == head.evaluated_groups


def test_mlore_may_begin_with_blocks_that_pass_their_input_on():
    options = dict(tasks={'semseg': TASKS['semseg'], 'depth': TASKS['depth']}, in_channels=[4, 5])
    head = MODELS.build(dict(MLORE, **options, identity_init=True))
    head.init_weights()
    x = torch.randn(1, 2, 8, 4, 6)
    for block in head.eval().blocks():
        assert block.norm_experts['depth'].weight.eq(0.1).all()
        block.start_as_identity(expert_scale=0)
        for expert in block.task_expert.values():
            torch.nn.init.zeros_(expert.expand.weight)
            torch.nn.init.zeros_(expert.expand.bias)
        assert_close(block(x, ['semseg', 'depth']), F.gelu(x).expand(2, -1, -1, -1, -1), atol=1e-4, rtol=1e-4)


def test_identities_need_a_generic_convolution_of_one_kernel():
    model = build_mlore(identity_init=True)
    apply_rules(model, [dict(modules='decode_head.*.generic_conv')])
    with pytest.raises(ValueError, match='does not go with a partially dynamic'):
        model.decode_head.init_weights()


class Plain(MultiTaskHead):
    """Nothing but the base."""


def test_tasks_and_levels_of_the_base():
    tasks = {name: TASKS[name] for name in ('semseg', 'depth', 'edge')}
    head = Plain(tasks, 4, aux_tasks=['depth'])
    assert (head.main_tasks, head.aux_tasks) == (['semseg', 'edge'], ['depth'])
    assert (head.in_channels, head.in_index) == ([4], [0])
    assert head.active_tasks(None) == ['semseg', 'depth', 'edge']
    assert head.active_tasks(['edge', 'semseg']) == head.required_tasks(['edge', 'semseg']) == ['semseg', 'edge']
    assert head.keep_task('edge') == {}
    assert list(head.tasks) == ['edge']
    head = Plain(TaskSet(tasks, ['edge']), [4, 5], in_index=[2, 0], reference_level=1)
    assert head.aux_tasks == ['edge']
    feats = [torch.randn(1, c, n, n) for c, n in ((5, 8), (9, 8), (4, 3))]
    levels = head.select(feats)
    assert levels[0] is feats[2]
    assert levels[1] is feats[0]
    large, same = head.to_reference(levels)
    assert same is feats[0]
    assert_close(large, F.interpolate(feats[2], size=(8, 8), mode='bilinear', align_corners=False))
    with pytest.raises(ValueError, match='reference_level=-1 is not one of the 1'):
        Plain(tasks, 4, reference_level=-1)
    with pytest.raises(ValueError, match='Plain needs features that the tasks share'):
        head.select(dict(edge=feats))
    assert head.select(dict(edge=feats), 'edge')[0] is feats[2]


def test_groups_are_wanted_in_training_or_by_name():
    head = Plain({'edge': TASKS['edge']}, 4)
    assert head.wants_auxiliary('initial')
    head.eval()
    assert not head.wants_auxiliary('initial')
    head.evaluated_groups = frozenset({'initial'})
    assert head.wants_auxiliary('initial')
    assert not head.wants_auxiliary('other')


def test_the_plain_decoder_is_its_definition():
    feats = [torch.randn(2, 4, 4, 6), torch.randn(2, 5, 2, 3)]
    joined = torch.cat([feats[0], F.interpolate(feats[1], size=(4, 6), mode='bilinear')], dim=1)
    for scale in (1, 2):
        head = build(FCN, scale=scale)
        conv, norm, _, last = head.heads['depth']
        assert (conv.bias, conv.out_channels) == (None, 6)
        assert_close(head(feats).logits['depth'], last(norm(conv(joined)).relu()))
        assert head(feats).logits['semseg'].shape == (2, 5, 4 * scale, 6 * scale)


def test_options_of_mlore_reach_its_parts():
    head = build(MLORE, pre_softmax=True, gate=dict(noise='none'), with_cp=False, detach_generic=False, scale=2)
    block = head.stages[1][1]
    assert block.name == 'decode_head/stage1/block1'
    assert (block.router.gate.pre_softmax, block.router.gate.noise, block.router.gate.top_k) == (True, 'none', 2)
    assert (block.with_cp, block.detach_generic, head.heads['depth'].with_cp) == (False, False, False)
    assert block.router.grid == (4, 6)
    feats = (torch.randn(1, 4, 4, 6), torch.randn(1, 5, 4, 6))
    assert head(feats).logits['depth'].shape == (1, 1, 8, 12)
    usual = build(MLORE, top_k=3)
    block = usual.blocks()[0]
    assert (block.with_cp, block.detach_generic, block.router.gate.pre_softmax) == (True, True, False)
    assert usual(feats).logits['depth'].shape == (1, 1, 16, 24)
    usual.init_weights()
    assert usual.blocks()[0].norm_experts['depth'].weight.eq(0.1).sum() == 0


def test_the_grid_follows_from_the_size_of_the_images():
    """Sides of 70 and 95 pixels at stride 16: 5 and 6 tokens, the last ones of padding."""
    options = dict(grid=None, img_size=(70, 95), strides=(8, 16))
    assert build(MLORE, reference_level=1, **options).blocks()[0].router.grid == (5, 6)
    assert build(MLORE, **options).blocks()[0].router.grid == (9, 12)
    for missing in ('img_size', 'strides'):
        with pytest.raises(ValueError, match='needs `grid`'):
            build(MLORE, **dict(options, **{missing: None}))


def test_deployed_forms():
    for deploy, precomputed in ((True, True), ('factors', False)):
        assert build(MLORE, deploy=deploy).blocks()[0].deployed.precomputed is precomputed
    assert build(MLORE).blocks()[0].deployed is None
    with pytest.raises(ValueError, match="deploy is True, False or 'factors', but got 'fast'"):
        build(MLORE, deploy='fast')
