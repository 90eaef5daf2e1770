"""Groups of auxiliary logits in the loss."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.testing import assert_close

from mlore_mm.models.losses import MultiTaskCriterion
from mlore_mm.models.losses.groups import AuxiliaryGroup, check_groups
from mlore_mm.models.output import MultiTaskOutput
from mlore_mm.tasks import TaskSet
from tests.test_models.test_losses.maps import TASKS, make_logits, make_targets


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


def test_both_names_of_the_groups():
    criterion = MultiTaskCriterion(
        TASKS, auxiliary_weights=dict(a=2.0, b=3.0), auxiliary=dict(b=dict(weight=5, tasks=['depth']))
    )
    assert {name: group.weight for name, group in criterion.groups.items()} == dict(a=2, b=5)
    assert criterion.groups['b'].tasks == ('depth',)
    group = AuxiliaryGroup(weight=0.5)
    assert MultiTaskCriterion(TASKS, auxiliary=dict(c=group)).groups['c'] is group
    assert MultiTaskCriterion(TASKS, auxiliary=dict(c=0)).groups['c'].weight == 0


def test_an_auxiliary_group_without_weight_is_named():
    logits = make_logits()
    with pytest.raises(ValueError, match=r"group 'initial'.*Add auxiliary=dict\(initial=1.0\)"):
        MultiTaskCriterion(TASKS)(MultiTaskOutput(logits, auxiliary=dict(initial=logits)), make_targets())


@pytest.mark.parametrize(
    ('group', 'message'), [(dict(wieght=1), "options \\['wieght'\\]"), (dict(combine='max'), "'add' or 'mean'")]
)
def test_a_wrong_option_of_a_group_is_named(group, message):
    with pytest.raises(ValueError, match=f"group 'initial'.*{message}"):
        MultiTaskCriterion(TASKS, auxiliary=dict(initial=group))


@pytest.mark.parametrize('weight', [-1, True, 'much', float('nan')])
def test_a_weight_of_a_group_that_means_nothing_is_named(weight):
    with pytest.raises(ValueError, match="group 'initial': weight is a number of 0 or more"):
        MultiTaskCriterion(TASKS, auxiliary=dict(initial=weight))


def test_a_group_that_the_head_does_not_make_is_named():
    class Head(nn.Module):
        auxiliary_groups: tuple | None = ('initial', 'scale_1')

    criterion = MultiTaskCriterion(TASKS, auxiliary=dict(initals=1.0))
    with pytest.raises(ValueError, match="group 'initals', but Head makes no such.*Did you mean 'initial'"):
        check_groups(criterion, Head())
    check_groups(MultiTaskCriterion(TASKS, auxiliary=dict(scale_1=1.0)), Head())
    Head.auxiliary_groups = None  # a head that does not say
    check_groups(criterion, Head())


def test_groups_are_not_checked_where_nothing_is_said():
    class Head(nn.Module):
        auxiliary_groups = ()

    with pytest.raises(ValueError, match='makes no such auxiliary logits.*It makes none'):
        check_groups(MultiTaskCriterion(TASKS, auxiliary=dict(initial=1.0)), Head())
    check_groups(MultiTaskCriterion(TASKS, auxiliary=dict(initial=1.0)), nn.Identity())
    check_groups(nn.Identity(), Head())


def test_auxiliary_logits_of_an_unknown_task_are_named():
    x, criterion = torch.ones(1, 1, 2, 2), MultiTaskCriterion(TASKS, auxiliary=dict(initial=1.0))
    with pytest.raises(ValueError, match=r"logits of \['flow'\]"):
        criterion(MultiTaskOutput({}, dict(initial=dict(flow=x))), dict(flow=x))
