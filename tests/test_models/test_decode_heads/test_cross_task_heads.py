"""PAD-Net and MTI-Net: what they compute for which tasks, and what they refuse. Their numbers: test_golden_pad_net."""

import pytest
import torch
from torch.testing import assert_close
from torch.utils.flop_counter import FlopCounterMode

from mlore_mm.models.features import Features
from mlore_mm.registry import MODELS
from mlore_mm.tasks import TaskSet

TASKS = TaskSet(
    dict(
        depth=dict(type='Depth'),
        edge=dict(type='Edge'),
        semseg=dict(type='SemSeg', out_channels=5),
        flow=dict(type='DenseRegression', out_channels=2),
    ),
    aux=['edge'],
)
PAD = dict(type='PADNetHead', in_channels=[4, 8, 6], embed_dims=8)
MTI = dict(type='MTINetHead', in_channels=[4, 16, 18])


@pytest.fixture(params=[PAD, MTI], ids=['pad_net', 'mti_net'])
def config(request):
    return request.param


def build(config, tasks=TASKS, **options):
    torch.manual_seed(0)
    return MODELS.build(dict(config, tasks=tasks, **options)).eval()


def levels(config, size=(16, 24), batch=2):
    torch.manual_seed(1)
    return tuple(torch.randn(batch, c, size[0] >> i, size[1] >> i) for i, c in enumerate(config['in_channels']))


def macs(head, feats, tasks):
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        head(feats, tasks)
    return counter.get_total_flops() // 2


def test_auxiliary_tasks_are_supervised_and_not_predicted(config):
    head, feats = build(config), levels(config)
    groups = ['initial'] if config is PAD else ['scale_0', 'scale_1', 'scale_2']
    output = head(feats)
    assert list(output.logits) == ['semseg', 'depth', 'flow'] or set(output.logits) == {'semseg', 'depth', 'flow'}
    assert output.auxiliary == {}
    output = head.train()(feats)
    assert 'edge' not in output.logits
    assert sorted(output.auxiliary) == groups
    for i, group in enumerate(groups):
        assert set(output.auxiliary[group]) == set(TASKS)
        assert output.auxiliary[group]['semseg'].shape == (2, 5, 16 >> i, 24 >> i)
    assert output.logits['flow'].shape == (2, 2, 16, 24)
    some = head(feats, ['depth', 'edge'])
    assert list(some.logits) == ['depth']
    assert all(list(logits) == ['depth', 'edge'] for logits in some.auxiliary.values())


def test_a_subset_is_exact_and_costs_its_own_part_only(config):
    head, feats = build(config), levels(config)
    full = head(feats).logits
    assert head.required_tasks(['depth']) == list(TASKS)
    for name in full:
        assert_close(head(feats, [name]).logits, {name: full[name]}, rtol=1e-5, atol=1e-6)
    own = {name: macs(head, feats, [name]) for name in full}
    # Everything that is not one task's own is what all have in common.
    together = macs(head, feats, None)
    common = (sum(own.values()) - together) / (len(full) - 1)
    initial = build(config, TaskSet({name: TASKS[name] for name in TASKS}, aux=['edge', 'depth', 'flow']))
    assert macs(initial, feats, None) == own['semseg']
    assert common == own['semseg'] - own_part(head, feats, 'semseg')


def own_part(head, feats, task):
    """Convolutions that write for one task: 2 per source, and the head's."""
    size = feats[0].shape[-2] * feats[0].shape[-1] * len(feats[0])
    if hasattr(head, 'fuse'):
        width = 8
        messages = 3 * 2 * 9 * width * width * size
        blocks = 2 * (width * 2 + 9 * 4 + 2 * width) * size
        return messages + blocks + head.tasks[task].out_channels * width * size
    widths = head.in_channels
    messages = sum(3 * 2 * 9 * c * c * (size >> 2 * s) for s, c in enumerate(widths))
    return messages + (sum(widths) + head.tasks[task].out_channels) * sum(widths) * size


def test_the_order_of_a_config_does_not_matter(config):
    head, feats = build(config), levels(config)
    other = build(config, TaskSet({name: TASKS[name] for name in reversed(list(TASKS))}, aux=['edge']))
    assert head.task_order == ['semseg', 'edge', 'depth', 'flow']
    other.load_state_dict(head.state_dict())
    assert_close(other(feats).logits, head(feats).logits)
    mine = build(config, task_order=['flow', 'depth'])
    assert mine.task_order == ['flow', 'depth', 'edge', 'semseg']


def test_features_of_every_task(config):
    head, feats = build(config), levels(config)
    shared = head(feats).logits
    per_task = dict.fromkeys(TASKS, feats)
    assert_close(head(Features(per_task=per_task)).logits, shared)
    per_task['edge'] = tuple(x + 1 for x in feats)
    changed = head(Features(per_task=per_task)).logits
    assert all((changed[name] - shared[name]).abs().max() > 1e-4 for name in shared)  # edge teaches all others


def test_a_single_task(config):
    head = build(config, TaskSet(dict(depth=TASKS['depth'])))
    assert head(levels(config)).logits['depth'].shape == (2, 1, 16, 24)


def test_mistakes_are_named(config):
    feats = levels(config)
    with pytest.raises(ValueError, match=r"nothing to predict: all of \['depth'\] are in `aux_tasks`"):
        build(config, TaskSet(dict(depth=TASKS['depth']), aux=['depth']))
    with pytest.raises(ValueError, match=r"\['edge'\] are auxiliary tasks .* predicts \['depth', 'semseg', 'flow'\]"):
        build(config)(feats, ['edge'])


def test_mti_net_refuses_widths_and_sizes_that_it_cannot_use():
    with pytest.raises(ValueError, match=r'16 channels or more .* got in_channels=\[4, 15, 18\]'):
        build(MTI, in_channels=[4, 15, 18])
    with pytest.raises(ValueError, match=r'multiples of 32: set size_divisor=32'):
        build(MTI)((torch.randn(1, 4, 15, 24), torch.randn(1, 16, 8, 12), torch.randn(1, 18, 4, 6)))


def test_pad_net_takes_any_size_and_refuses_widths_that_do_not_divide():
    feats = (torch.randn(1, 4, 15, 23), torch.randn(1, 8, 8, 12), torch.randn(1, 6, 4, 6))
    assert build(PAD)(feats).logits['depth'].shape == (1, 1, 15, 23)
    with pytest.raises(ValueError, match='multiple of 4, but got 10'):
        build(PAD, embed_dims=10)
