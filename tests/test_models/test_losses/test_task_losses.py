"""Losses per task: the published values, and what holds for every kind of task."""

import pytest
import torch
from torch.testing import assert_close

from mlore_mm.models.losses.reduction import Reduction, masked_share, mean_of_rows
from mlore_mm.registry import MODELS
from mlore_mm.tasks import TaskSet
from tests.reference import compact_reference, full_reference

KINDS = TaskSet(
    dict(
        semseg=dict(type='SemSeg', out_channels=5),
        human_parts=dict(type='HumanParts'),
        sal=dict(type='Saliency'),
        normals=dict(type='SurfaceNormals'),
        edge=dict(type='Edge'),
        depth=dict(type='Depth'),
        flow=dict(type='DenseRegression', out_channels=2),
    )
)


@pytest.fixture(params=list(KINDS))
def task(request):
    return KINDS[request.param]


def make_target(task, batch=2, size=(6, 5)):
    """Labels (B, C, H, W) of random values with about a third ignored."""
    shape = (batch, task.target_channels, *size)
    if task.dtype == 'uint8':
        target = torch.randint(task.out_channels, shape).float()
    else:
        target = torch.nn.functional.normalize(torch.randn(shape), dim=1).abs()
    ignored = torch.rand(batch, 1, *size) < 1 / 3
    ignored[0, 0, 0, 0], ignored[0, 0, 0, 1] = True, False
    return torch.where(ignored, task.ignore_value, target)


def loss_and_gradient(task, logits, target):
    logits = logits.clone().requires_grad_()
    loss = MODELS.build(task.loss)(logits, target, task.valid_mask(target))
    loss.backward()
    return loss.detach(), logits.grad


# ---- published numbers -----------------------------------------------------------------------------------------------
@pytest.mark.parametrize('name', ['pascal', 'nyud'])
def test_published_values_and_gradients(name):
    reference = full_reference(name)
    for task_name, task in reference.tasks.items():
        loss, gradient = loss_and_gradient(task, reference.logits[task_name], reference.targets[task_name])
        expected = reference.losses[task_name]
        assert loss.item() == pytest.approx(expected['value'], rel=1e-6), task_name
        assert gradient.norm().item() == pytest.approx(expected['grad_norm'], rel=1e-5), task_name


@pytest.mark.parametrize('name', ['sal', 'edge', 'depth'])
def test_published_values_and_gradients_of_rounded_logits(name):
    reference = compact_reference(name)
    loss, gradient = loss_and_gradient(reference.tasks[name], reference.logits[name], reference.targets[name])
    assert loss.item() == pytest.approx(reference.losses[name]['value'], rel=1e-3)
    assert gradient.norm().item() == pytest.approx(reference.losses[name]['grad_norm'], rel=1e-3)


# ---- worked by hand --------------------------------------------------------------------------------------------------
def pixels(values, channels=1):
    """A batch of one image one pixel high."""
    return torch.tensor(values, dtype=torch.float32).reshape(1, channels, 1, -1)


def test_class_balance_by_hand():
    """Three background pixels and one salient, all logits 0: each costs log 2; weights 1/4 and 3/4, four pixels."""
    loss = MODELS.build(dict(type='BalancedCrossEntropyLoss'))
    target = pixels([0, 0, 0, 1, 255])
    value = loss(torch.zeros(1, 2, 1, 5), target, target != 255)
    assert_close(value, torch.tensor(2.0).log() * (3 * 0.25 + 0.75) / 4)


def test_soft_boundary_by_hand():
    """A label of one half counts half as positive and half as negative."""
    loss = MODELS.build(dict(type='BalancedBCELoss', pos_weight=0.9))
    target = pixels([0.5, 1, 255])
    assert_close(loss(torch.zeros(1, 1, 1, 3), target, target != 255), torch.tensor(2.0).log() * (0.5 + 0.9) / 2)


def test_normals_by_hand():
    """(3, 0, 4) has the direction (0.6, 0, 0.8): off (0, 0, 1) by 0.6 + 0.2."""
    loss = MODELS.build(dict(type='NormalsL1Loss'))
    target = pixels([0, 255, 0, 255, 1, 255], channels=3)
    valid = torch.tensor([True, False]).reshape(1, 1, 1, 2)
    assert_close(loss(pixels([3, 9, 0, 9, 4, 9], channels=3), target, valid), torch.tensor(0.8))


# ---- what holds for every kind of task -------------------------------------------------------------------------------
def test_ignored_pixels_carry_no_gradient_and_valid_ones_do(task):
    target = make_target(task)
    valid = task.valid_mask(target)
    _, gradient = loss_and_gradient(task, torch.randn(2, task.out_channels, 6, 5), target)
    assert (gradient * ~valid == 0).all()
    assert (gradient.abs().sum(dim=1, keepdim=True) > 0)[valid].all()


def test_ignored_labels_do_not_matter(task):
    target, logits = make_target(task), torch.randn(2, task.out_channels, 6, 5)
    valid = task.valid_mask(target)
    loss = MODELS.build(task.loss)
    rubbish = torch.where(valid, target, torch.nan)
    assert_close(loss(logits, rubbish, valid), loss(logits, target, valid), rtol=0, atol=0)


def test_nothing_valid_gives_zero_with_a_gradient_path(task):
    target = torch.full((2, task.target_channels, 6, 5), float(task.ignore_value))
    loss, gradient = loss_and_gradient(task, torch.randn(2, task.out_channels, 6, 5), target)
    assert loss == 0
    assert (gradient == 0).all()


def test_storage_type_of_labels_does_not_matter(task):
    target, logits = make_target(task), torch.randn(2, task.out_channels, 6, 5)
    if task.dtype != 'uint8':
        target = target.round()
    stored = target.to(torch.uint8)
    loss = MODELS.build(task.loss)
    assert_close(loss(logits, stored, task.valid_mask(stored)), loss(logits, target, task.valid_mask(target)))


def test_half_precision_logits_are_reduced_in_single_precision(task):
    """Under AMP logits arrive in bfloat16; the loss is that of the same values in fp32."""
    target, logits = make_target(task), torch.randn(2, task.out_channels, 6, 5).bfloat16()
    loss = MODELS.build(task.loss)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        value = loss(logits, target, task.valid_mask(target))
    assert value.dtype == torch.float32
    assert_close(value, loss(logits.float(), target, task.valid_mask(target)), rtol=0, atol=0)


def test_no_value_is_asked_from_the_device(task):
    """Meta tensors hold no values, so a loss that waits for one raises an error."""
    target = make_target(task).to('meta')
    logits = torch.randn(2, task.out_channels, 6, 5, device='meta', requires_grad=True)
    MODELS.build(task.loss)(logits, target, task.valid_mask(target)).backward()
    assert logits.grad.is_meta


# ---- errors ----------------------------------------------------------------------------------------------------------
def test_class_balance_needs_two_channels():
    with pytest.raises(ValueError, match=r'2 channels .* but got 1. Set out_channels=2'):
        MODELS.build(dict(type='BalancedCrossEntropyLoss'))(torch.zeros(1, 1, 2, 2), None, None)


def test_boundary_weight_is_a_share():
    with pytest.raises(ValueError, match=r'0 < pos_weight < 1 .* but got 1.0'):
        MODELS.build(dict(type='BalancedBCELoss', pos_weight=1.0))


def test_channels_are_averaged():
    """Two channels alike cost as much as one; 1 and 3 cost 2."""
    valid = torch.ones(1, 1, 1, 1, dtype=torch.bool)
    l1 = MODELS.build(dict(type='MaskedL1Loss'))
    assert_close(l1(pixels([1, 3], channels=2), torch.zeros(1, 2, 1, 1), valid), torch.tensor(2.0))
    boundary = MODELS.build(dict(type='BalancedBCELoss', pos_weight=0.9))
    wanted = 0.9 * torch.tensor(2.0).log()
    assert_close(boundary(torch.zeros(1, 2, 1, 1), torch.ones(1, 2, 1, 1), valid), wanted)


@pytest.mark.parametrize('weight', [0, 1])
def test_a_boundary_weight_of_all_or_nothing_is_refused(weight):
    with pytest.raises(ValueError, match=f'0 < pos_weight < 1 .* got {weight}'):
        MODELS.build(dict(type='BalancedBCELoss', pos_weight=weight))


def test_mean_of_rows_by_hand():
    rows = torch.tensor([[1.0, 0.0], [3.0, 1.0], [5.0, 5.0]])
    for reduction in (Reduction(), Reduction(whole_batch=True)):
        assert mean_of_rows(rows, reduction).tolist() == [3, 2]
        share = masked_share(
            torch.tensor([True, False, True, True]), torch.tensor([True, True, True, False]), reduction
        )
        assert share.item() == pytest.approx(2 / 3)
        assert reduction.share == 1


def test_thresholds_and_balance_of_boundaries_by_hand():
    """Labels 0.5, 0.4, 0, 0 are one positive and three negatives: 3/4 and 1/4; all logits 0."""
    target = pixels([0.5, 0.4, 0, 0, 255])
    loss = MODELS.build(dict(type='BalancedBCELoss', pos_weight='balanced', threshold=0.5))
    logits = torch.zeros(1, 1, 1, 5)
    assert_close(loss(logits, target, target != 255), torch.tensor(2.0).log() * (0.75 + 3 * 0.25) / 4)
    # With the ignored pixel as a second positive: three fifths are negatives.
    loss = MODELS.build(dict(type='BalancedBCELoss', pos_weight='balanced', threshold=0.5, ignored_as_positive=True))
    assert_close(loss(logits, target, target != 255), torch.tensor(2.0).log() * (2 * 0.6 + 3 * 0.4) / 5)
    # Without a threshold labels count in part, and the balance is of those below one half.
    loss = MODELS.build(dict(type='BalancedBCELoss', pos_weight='balanced'))
    wanted = torch.tensor(2.0).log() * ((0.75 + 0.25) * 0.5 + (0.75 * 0.4 + 0.25 * 0.6) + 2 * 0.25) / 4
    assert_close(loss(logits, target, target != 255), wanted)


def test_class_weights_by_hand():
    """Weights 1 and 3, all logits 0: log 2 whatever the weights; a confident mistake of class 1 counts 3 of 4."""
    loss = MODELS.build(dict(type='PixelCrossEntropyLoss', class_weight=[1, 3]))
    target = pixels([0, 1, 255])
    assert_close(loss(torch.zeros(1, 2, 1, 3), target, target != 255), torch.tensor(2.0).log())
    logits = torch.tensor([[20.0, 20, 0], [0, 0, 0]])[None, :, None]
    assert_close(loss(logits, target, target != 255), torch.tensor(3 * 20 / 4))
    with pytest.raises(ValueError, match='2 class weights, but logits of 3 channels'):
        loss(torch.zeros(1, 3, 1, 3), target, target != 255)


@pytest.mark.parametrize('weights', [(), (1, -1)])
def test_edge_weights_without_a_meaning_are_refused(weights):
    with pytest.raises(ValueError, match='needs weights of at least 0'):
        MODELS.build(dict(type='WeightedCrossEntropyLoss', class_weights=weights))
    with pytest.raises(ValueError, match='needs class weights of at least 0'):
        MODELS.build(dict(type='PixelCrossEntropyLoss', class_weight=weights))


def test_a_class_may_weigh_nothing():
    """Only its pixels: a zero and no division by zero."""
    for loss in (
        dict(type='PixelCrossEntropyLoss', class_weight=(0, 1)),
        dict(type='WeightedCrossEntropyLoss', class_weights=(0, 1)),
    ):
        target = pixels([0, 0])
        assert MODELS.build(loss)(torch.randn(1, 2, 1, 2), target, target == 0).item() == 0


def test_mean_over_the_elements_of_normals_is_a_third():
    loss, target = MODELS.build(dict(type='NormalsL1Loss', average='elements')), pixels([0, 0, 1], channels=3)
    assert_close(loss(pixels([3, 0, 4], channels=3), target, torch.ones(1, 1, 1, 1) > 0), torch.tensor(0.8 / 3))


@pytest.mark.parametrize('kind', ['MaskedL1Loss', 'MaskedMSELoss', 'BerHuLoss', 'DirectionLoss', 'NormalsL1Loss'])
def test_double_precision_stays(kind):
    logits = torch.randn(1, 3, 2, 2, dtype=torch.float64)
    assert MODELS.build(dict(type=kind))(logits, torch.randn(1, 3, 2, 2), torch.ones(1, 1, 2, 2) > 0).dtype == (
        torch.float64
    )
