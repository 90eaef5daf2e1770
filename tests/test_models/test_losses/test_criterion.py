"""The criterion: terms, weights, what reaches a loss."""

from dataclasses import dataclass

import pytest
import torch
import torch.nn.functional as F
from mmengine.model import BaseModel
from torch import nn
from torch.testing import assert_close

from mlore_mm.models.losses import MaskedL1Loss, MultiTaskCriterion
from mlore_mm.models.output import MultiTaskOutput
from mlore_mm.registry import MODELS
from mlore_mm.registry import TASKS as TASKS_REGISTRY
from mlore_mm.routing.records import RouterRecord, RouterTrace
from mlore_mm.tasks import Depth
from tests.reference import full_reference
from tests.test_models.test_losses.maps import TASKS, make_logits, make_targets


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


def test_tasks_without_a_loss_and_weights_without_a_class_are_named():
    with pytest.raises(ValueError, match="Task 'edge' has no `loss`"):
        MultiTaskCriterion(dict(edge=dict(type='Edge', loss={})))
    for loss in (dict(type='PixelCrossEntropyLoss', class_weight=[1, 2]), dict(type='WeightedCrossEntropyLoss')):
        with pytest.raises(ValueError, match='has 2 class weights, but out_channels=4'):
            MultiTaskCriterion(dict(semseg=dict(TASKS['semseg'], loss=loss)))


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
