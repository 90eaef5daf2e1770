import pytest
import torch
import torch.nn.functional as F
from mmengine.model import BaseModel
from torch.testing import assert_close

from mlore_mm.models.losses import MaskedL1Loss, MultiTaskCriterion
from mlore_mm.models.output import MultiTaskOutput
from mlore_mm.routing.records import RouterRecord, RouterTrace
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
    with pytest.raises(ValueError, match=r"group 'initial'.*Add auxiliary_weights=dict\(initial=1.0\)"):
        MultiTaskCriterion(TASKS)(MultiTaskOutput(logits, auxiliary=dict(initial=logits)), make_targets())
