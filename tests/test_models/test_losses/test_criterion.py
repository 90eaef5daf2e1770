from dataclasses import dataclass

import pytest
import torch
import torch.nn.functional as F
from mmengine.model import BaseModel
from torch import nn
from torch.testing import assert_close

from mlore_mm.models.losses import MaskedL1Loss, MultiTaskCriterion
from mlore_mm.models.losses.groups import AuxiliaryGroup, check_groups
from mlore_mm.models.output import MultiTaskOutput
from mlore_mm.registry import MODELS
from mlore_mm.registry import TASKS as TASKS_REGISTRY
from mlore_mm.routing.records import RouterRecord, RouterTrace
from mlore_mm.tasks import Depth, TaskSet
from tests.reference import full_reference

TASKS = dict(
    semseg=dict(type='SemSeg', out_channels=4),
    depth=dict(type='Depth', loss_weight=3.0),
    edge=dict(type='Edge', loss_weight=50.0),
)


def make_logits(size=(8, 10)):
    channels = dict(edge=1, semseg=4, depth=1)  # not in the order of the tasks
    return {name: torch.randn(2, c, *size, requires_grad=True) for name, c in channels.items()}


def make_targets(size=(8, 10)):
    return dict(
        semseg=torch.randint(4, (2, 1, *size), dtype=torch.uint8),
        depth=1 + torch.rand(2, 1, *size),
        edge=torch.randint(2, (2, 1, *size)).float(),
    )


@pytest.mark.parametrize('name', ['pascal', 'nyud'])
def test_published_losses_with_their_weights(name):
    reference = full_reference(name)
    losses = MultiTaskCriterion(reference.tasks)(MultiTaskOutput(reference.logits), reference.targets)
    assert list(losses) == [f'loss_{task}' for task in reference.tasks]
    for task, expected in reference.losses.items():
        assert losses[f'loss_{task}'].item() == pytest.approx(expected['value'] * expected['weight'], rel=1e-6), task


def test_every_term_is_in_the_total_once():
    """mmengine adds up what contains ``loss``: final, auxiliary and routing terms, not the unweighted values."""
    criterion = MultiTaskCriterion(
        TASKS,
        auxiliary_weights=dict(initial=0.5),
        auxiliary_losses=dict(load_balance=dict(type='LoadBalanceLoss', loss_weight=2.0)),
        log_unweighted=True,
    )
    logits, targets = make_logits(), make_targets()
    gates = torch.tensor([[0.75, 0.25]])
    output = MultiTaskOutput(logits, auxiliary=dict(initial=dict(depth=logits['depth'] + 1)))
    losses = criterion(output, targets, RouterTrace([RouterRecord('a', 'depth', gates, gates)]))
    assert set(losses) == {
        *('loss_semseg', 'loss_depth', 'loss_edge', 'loss_initial_depth', 'loss_load_balance'),
        *('raw_semseg', 'raw_depth', 'raw_edge'),
    }
    depth, valid = MaskedL1Loss(), torch.ones(2, 1, 8, 10, dtype=torch.bool)
    assert_close(losses['loss_depth'], 3 * losses['raw_depth'])
    assert_close(losses['loss_initial_depth'], 3 * 0.5 * depth(logits['depth'] + 1, targets['depth'], valid))
    assert_close(losses['loss_load_balance'], torch.tensor(1.0))  # 2 (0.125 / 0.25)
    total, _ = BaseModel.parse_losses(None, losses)
    assert_close(total, sum(value for name, value in losses.items() if name.startswith('loss_')))


def test_small_logits_are_upsampled_first():
    criterion, targets = MultiTaskCriterion(dict(depth=TASKS['depth'])), make_targets()
    logits = torch.randn(2, 1, 4, 5)
    large = F.interpolate(logits, size=(8, 10), mode='bilinear', align_corners=False)
    assert_close(
        criterion(MultiTaskOutput(dict(depth=logits)), targets), criterion(MultiTaskOutput(dict(depth=large)), targets)
    )


def test_single_task_calls_give_the_terms_of_the_joint_call():
    criterion, logits, targets = MultiTaskCriterion(TASKS), make_logits(), make_targets()
    joint = criterion(MultiTaskOutput(logits), targets)
    single = {}
    for name in TASKS:
        single.update(criterion(MultiTaskOutput({name: logits[name]}), {name: targets[name]}))
    assert_close(single, joint)


def test_labels_of_one_task_do_not_touch_the_others():
    criterion, logits, targets = MultiTaskCriterion(TASKS), make_logits(), make_targets()
    before = criterion(MultiTaskOutput(logits), targets)
    after = criterion(MultiTaskOutput(logits), {**targets, 'semseg': torch.full_like(targets['semseg'], 255)})
    assert after['loss_semseg'] == 0
    assert before['loss_semseg'] > 0
    assert (after['loss_depth'], after['loss_edge']) == (before['loss_depth'], before['loss_edge'])


def test_an_unlabelled_batch_still_reaches_every_parameter():
    tasks = MultiTaskCriterion(TASKS).tasks
    logits = make_logits()
    targets = {name: torch.full((2, 1, 8, 10), float(task.ignore_value)) for name, task in tasks.items()}
    sum(MultiTaskCriterion(TASKS)(MultiTaskOutput(logits), targets).values()).backward()
    assert all((value.grad == 0).all() for value in logits.values())


def test_logits_without_labels_are_named():
    with pytest.raises(ValueError, match=r"labels of \['semseg'\]"):
        MultiTaskCriterion(TASKS)(MultiTaskOutput(make_logits()), dict(semseg=make_targets()['semseg']))


def test_an_auxiliary_group_without_weight_is_named():
    logits = make_logits()
    with pytest.raises(ValueError, match=r"group 'initial'.*Add auxiliary=dict\(initial=1.0\)"):
        MultiTaskCriterion(TASKS)(MultiTaskOutput(logits, auxiliary=dict(initial=logits)), make_targets())


# ---- groups ----------------------------------------------------------------------------------------------------------
def depth_losses(criterion, *groups, final=True):
    """The criterion's losses for depth of 1 m everywhere; logits are off by 1 m, the n-th group's by n + 1 m."""
    ones = torch.ones(1, 1, 4, 4)
    auxiliary = {f'scale_{n}': dict(depth=(n + 2) * ones) for n in groups}
    return criterion(MultiTaskOutput(dict(depth=2 * ones) if final else {}, auxiliary), dict(depth=ones))


@pytest.mark.parametrize(
    ('combine', 'expected'),
    [
        (dict(scale_1='add', scale_2='add'), (1, 2, 3)),
        (dict(scale_1='mean', scale_2='mean'), (1 / 3, 2 / 3, 1)),
        (dict(scale_1='mean', scale_2='add'), (1 / 2, 1, 3)),
    ],
)
def test_groups_are_added_or_share_in_a_mean(combine, expected):
    criterion = MultiTaskCriterion(
        dict(depth=TASKS['depth']), auxiliary={name: dict(combine=how) for name, how in combine.items()}
    )
    losses = depth_losses(criterion, 1, 2)
    assert [losses[f'loss_{key}depth'].item() for key in ('', 'scale_1_', 'scale_2_')] == pytest.approx(
        [3 * x for x in expected]
    )


def test_a_mean_over_groups_alone():
    criterion = MultiTaskCriterion(
        dict(depth=TASKS['depth']), auxiliary=dict(scale_1=dict(combine='mean'), scale_2=dict(combine='mean', weight=2))
    )
    losses = depth_losses(criterion, 1, 2, final=False)
    assert {name: loss.item() for name, loss in losses.items()} == pytest.approx(
        dict(loss_scale_1_depth=3 * 2 / 2, loss_scale_2_depth=2 * 3 * 3 / 2)
    )


def test_a_group_may_supervise_the_main_tasks_only():
    tasks = TaskSet(TASKS, aux=['edge'])
    logits = make_logits()
    for chosen, expected in (('all', set(TASKS)), ('main', {'semseg', 'depth'}), (['edge'], {'edge'})):
        criterion = MultiTaskCriterion(tasks, auxiliary=dict(initial=dict(tasks=chosen)))
        losses = criterion(MultiTaskOutput({}, dict(initial=logits)), make_targets())
        assert {name.removeprefix('loss_initial_') for name in losses} == expected


def test_align_corners_of_a_group():
    criterion = MultiTaskCriterion(dict(depth=TASKS['depth']), auxiliary=dict(initial=dict(align_corners=True)))
    small, target = torch.randn(1, 1, 3, 3), dict(depth=1 + torch.rand(1, 1, 8, 8))
    large = F.interpolate(small, size=(8, 8), mode='bilinear', align_corners=True)
    losses = [criterion(MultiTaskOutput({}, dict(initial=dict(depth=x))), target) for x in (small, large)]
    assert_close(losses[0], losses[1])


@pytest.mark.parametrize(
    ('group', 'message'), [(dict(wieght=1), "options \\['wieght'\\]"), (dict(combine='max'), "'add' or 'mean'")]
)
def test_a_wrong_option_of_a_group_is_named(group, message):
    with pytest.raises(ValueError, match=f"group 'initial'.*{message}"):
        MultiTaskCriterion(TASKS, auxiliary=dict(initial=group))


@MODELS.register_module(force=True)
class BrightnessLoss(nn.Module):
    """Mean of logits times a number of each image, plus the mean of another task's label."""

    def forward(self, logits, target, valid, context):
        gains = torch.tensor([meta['gain'] for meta in context.metas])
        return (logits.mean(dim=(1, 2, 3)) * gains).mean() + context.targets['depth'].mean()


def test_a_loss_may_see_other_labels_and_the_meta_data():
    criterion = MultiTaskCriterion(dict(TASKS, edge=dict(type='Edge', loss=dict(type='BrightnessLoss'), loss_weight=1)))
    assert criterion.needs_context
    assert not MultiTaskCriterion(TASKS).needs_context
    targets = make_targets()
    output = MultiTaskOutput(dict(edge=torch.ones(2, 1, 8, 10)))
    losses = criterion(output, targets, metas=[dict(gain=1.0), dict(gain=3.0)])
    assert_close(losses['loss_edge'], 2 + targets['depth'].mean())


@TASKS_REGISTRY.register_module(force=True)
@dataclass(frozen=True, kw_only=True)
class ToyNearness(Depth):
    """Depth of which the network predicts the inverse."""

    def encode(self, target):
        return 1 / target

    def finalize(self, scores):
        return 1 / scores


def test_a_task_encodes_its_target_for_the_loss():
    criterion = MultiTaskCriterion(dict(near=dict(type='ToyNearness', loss_weight=1)))
    target = torch.tensor([2.0, 4.0, 0.0, 8.0]).view(1, 1, 2, 2)  # 0: no reading
    logits = torch.full((1, 1, 2, 2), 0.25, requires_grad=True)
    loss = criterion(MultiTaskOutput(dict(near=logits)), dict(near=target))['loss_near']
    assert_close(loss, torch.tensor((0.25 + 0 + 0.125) / 3))
    loss.backward()
    assert logits.grad.isfinite().all()
    assert_close(criterion.tasks['near'].decode(criterion.tasks['near'].encode(target[..., :1])), target[..., :1])


def test_logged_losses_hold_no_graph():
    criterion = MultiTaskCriterion(dict(depth=dict(type='Depth', loss_weight=3.0)), log_unweighted=True)
    logits = torch.ones(1, 1, 2, 2, requires_grad=True)
    losses = criterion(MultiTaskOutput(dict(depth=logits)), dict(depth=torch.full((1, 1, 2, 2), 3.0)))
    assert (losses['raw_depth'].item(), losses['loss_depth'].item()) == (2, 6)
    assert not losses['raw_depth'].requires_grad


def test_unknown_tasks_are_named():
    x = torch.ones(1, 1, 2, 2)
    with pytest.raises(ValueError, match='knows the tasks'):
        MultiTaskCriterion(dict(depth=dict(type='Depth')))(
            MultiTaskOutput(dict(depth=x, flow=x)), dict(depth=x, flow=x)
        )


def test_small_logits_of_half_precision_are_upsampled_in_full():
    criterion = MultiTaskCriterion(dict(depth=dict(type='Depth')))
    logits, target = torch.randn(2, 1, 4, 5).bfloat16(), 1 + torch.rand(2, 1, 16, 20)
    large = F.interpolate(logits.float(), size=(16, 20), mode='bilinear', align_corners=False)
    loss = criterion(MultiTaskOutput(dict(depth=logits)), dict(depth=target))['loss_depth']
    assert_close(loss, (large - target).abs().mean(), rtol=1e-6, atol=0)


def test_an_unknown_average_is_named():
    with pytest.raises(ValueError, match='median'):
        MultiTaskCriterion(dict(depth=dict(type='Depth')), average='median')


def test_a_group_that_the_head_does_not_make_is_named():
    class Head(nn.Module):
        auxiliary_groups: tuple | None = ('initial', 'scale_1')

    criterion = MultiTaskCriterion(TASKS, auxiliary=dict(initals=1.0))
    with pytest.raises(ValueError, match="group 'initals', but Head makes no such.*Did you mean 'initial'"):
        check_groups(criterion, Head())
    check_groups(MultiTaskCriterion(TASKS, auxiliary=dict(scale_1=1.0)), Head())
    Head.auxiliary_groups = None  # a head that does not say
    check_groups(criterion, Head())


@MODELS.register_module(force=True)
class SeenReduction(nn.Module):
    """Keeps what its means are to be taken over."""

    def forward(self, logits, target, valid, reduction):
        self.seen = reduction
        return logits.mean()


@pytest.mark.parametrize(('average', 'whole'), [('process', False), ('batch', True), (None, False)])
def test_what_means_are_over_reaches_every_loss(average, whole):
    depth = dict(type='Depth', loss=dict(type='SeenReduction'))
    options = dict(average=average) if average else {}
    criterion = MultiTaskCriterion(dict(depth=depth), **options)
    criterion(MultiTaskOutput(dict(depth=torch.ones(1, 1, 2, 2))), dict(depth=torch.ones(1, 1, 2, 2)))
    assert criterion.task_losses['depth'].seen.whole_batch is whole


def test_align_corners_of_the_final_logits():
    criterion = MultiTaskCriterion(dict(depth=TASKS['depth']), align_corners=True)
    small, target = torch.randn(1, 1, 3, 3), dict(depth=1 + torch.rand(1, 1, 8, 8))
    large = F.interpolate(small, size=(8, 8), mode='bilinear', align_corners=True)
    assert_close(*(criterion(MultiTaskOutput(dict(depth=x)), target) for x in (small, large)))


def test_both_names_of_the_groups():
    criterion = MultiTaskCriterion(
        TASKS, auxiliary_weights=dict(a=2.0, b=3.0), auxiliary=dict(b=dict(weight=5, tasks=['depth']))
    )
    assert {name: group.weight for name, group in criterion.groups.items()} == dict(a=2, b=5)
    assert criterion.groups['b'].tasks == ('depth',)
    group = AuxiliaryGroup(weight=0.5)
    assert MultiTaskCriterion(TASKS, auxiliary=dict(c=group)).groups['c'] is group
    assert MultiTaskCriterion(TASKS, auxiliary=dict(c=0)).groups['c'].weight == 0


@pytest.mark.parametrize('weight', [-1, True, 'much', float('nan')])
def test_a_weight_of_a_group_that_means_nothing_is_named(weight):
    with pytest.raises(ValueError, match="group 'initial': weight is a number of 0 or more"):
        MultiTaskCriterion(TASKS, auxiliary=dict(initial=weight))


def test_auxiliary_logits_of_an_unknown_task_are_named():
    x, criterion = torch.ones(1, 1, 2, 2), MultiTaskCriterion(TASKS, auxiliary=dict(initial=1.0))
    with pytest.raises(ValueError, match=r"logits of \['flow'\]"):
        criterion(MultiTaskOutput({}, dict(initial=dict(flow=x))), dict(flow=x))


def test_tasks_without_a_loss_and_weights_without_a_class_are_named():
    with pytest.raises(ValueError, match="Task 'edge' has no `loss`"):
        MultiTaskCriterion(dict(edge=dict(type='Edge', loss={})))
    for loss in (dict(type='PixelCrossEntropyLoss', class_weight=[1, 2]), dict(type='WeightedCrossEntropyLoss')):
        with pytest.raises(ValueError, match='has 2 class weights, but out_channels=4'):
            MultiTaskCriterion(dict(semseg=dict(TASKS['semseg'], loss=loss)))


def test_groups_are_not_checked_where_nothing_is_said():
    class Head(nn.Module):
        auxiliary_groups = ()

    with pytest.raises(ValueError, match='makes no such auxiliary logits.*It makes none'):
        check_groups(MultiTaskCriterion(TASKS, auxiliary=dict(initial=1.0)), Head())
    check_groups(MultiTaskCriterion(TASKS, auxiliary=dict(initial=1.0)), nn.Identity())
    check_groups(nn.Identity(), Head())


def test_a_part_of_an_output():
    x = torch.ones(1)
    output = MultiTaskOutput(dict(a=x, b=x), dict(first=dict(a=x, b=x), second=dict(b=x)), dict(more=1))
    part = output.restricted_to(['a'])
    assert {name: list(logits) for name, logits in part.auxiliary.items()} == dict(first=['a'])
    assert (list(part.logits), part.extras) == (['a', 'b'], dict(more=1))
    assert output.group('second') == dict(b=x)
    with pytest.raises(ValueError, match=r"output 'third', but .* are \['first', 'second'\]"):
        output.group('third')


def test_auxiliary_losses_get_what_their_forward_names():
    """The means of a balance loss are over what the criterion says as well."""
    gates = torch.tensor([[0.75, 0.25]])
    trace = RouterTrace([RouterRecord('a', 'depth', gates, gates)])

    class Seen(nn.Module):
        def forward(self, trace, reduction):
            return trace.records[0].gates.sum() + reduction.whole_batch

    MODELS.register_module('SeenTrace', force=True, module=Seen)
    criterion = MultiTaskCriterion(
        dict(depth=TASKS['depth']), auxiliary_losses=dict(seen=dict(type='SeenTrace')), average='batch'
    )
    x = torch.ones(1, 1, 2, 2)
    assert criterion(MultiTaskOutput(dict(depth=x)), dict(depth=x), trace)['loss_seen'] == 2
