"""What every decoder does with features, tasks and levels."""

import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

from mlore_mm.models.partially_dynamic import apply_rules
from mlore_mm.registry import MODELS
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
