"""Weights of classes, and mmsegmentation's losses, against PyTorch's own."""

import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

from mlore_mm.models.losses import MMSegLoss, MultiTaskCriterion, PixelCrossEntropyLoss
from mlore_mm.models.losses.mmseg_loss import adapt_loss
from mlore_mm.models.output import MultiTaskOutput

WEIGHTS = [1.0, 2.0, 5.0]


def criterion_loss(loss: dict, logits, target):
    """The loss of a task with three classes as the criterion computes it."""
    tasks = dict(semseg=dict(type='SemSeg', out_channels=3, loss=loss))
    return MultiTaskCriterion(tasks)(MultiTaskOutput(logits=dict(semseg=logits)), dict(semseg=target))['loss_semseg']


@pytest.fixture
def logits():
    return torch.randn(2, 3, 6, 5, requires_grad=True)


@pytest.fixture
def target():
    target = torch.randint(0, 3, (2, 1, 6, 5))
    target[:, :, :2] = 255
    return target.to(torch.uint8)


@pytest.mark.parametrize(
    'loss',
    [
        dict(type='PixelCrossEntropyLoss', class_weight=WEIGHTS),
        dict(type='mmseg.CrossEntropyLoss', class_weight=WEIGHTS),
        dict(type='MMSegLoss', loss=dict(type='mmseg.CrossEntropyLoss', class_weight=WEIGHTS)),
    ],
    ids=['ours', 'mmseg', 'named adapter'],
)
def test_weighted_cross_entropy_is_that_of_pytorch(loss, logits, target):
    expected = F.cross_entropy(logits, target[:, 0].long(), weight=torch.tensor(WEIGHTS), ignore_index=255)
    found = criterion_loss(loss, logits, target)
    assert_close(found, expected)
    assert_close(torch.autograd.grad(found, logits)[0], torch.autograd.grad(expected, logits)[0])


def test_equal_weights_change_nothing(logits, target):
    plain = criterion_loss(dict(type='PixelCrossEntropyLoss'), logits, target)
    assert_close(criterion_loss(dict(type='PixelCrossEntropyLoss', class_weight=[3] * 3), logits, target), plain)


@pytest.mark.parametrize('kind', ['PixelCrossEntropyLoss', 'mmseg.CrossEntropyLoss', 'WeightedCrossEntropyLoss'])
def test_every_class_needs_a_weight_before_training(kind):
    key = 'class_weights' if kind.startswith('Weighted') else 'class_weight'
    with pytest.raises(ValueError, match="task 'semseg' has 2 class weights, but out_channels=3"):
        MultiTaskCriterion(dict(semseg=dict(type='SemSeg', out_channels=3, loss=dict(type=kind, **{key: [1, 2]}))))


@pytest.mark.parametrize('weights', [[], [0, 0], [1, -1]])
def test_weights_without_a_meaning_are_refused(weights):
    with pytest.raises(ValueError, match='needs class weights of at least 0'):
        PixelCrossEntropyLoss(class_weight=weights)


@pytest.mark.parametrize('kind', ['DiceLoss', 'LovaszLoss', 'CrossEntropyLoss'])
def test_losses_of_mmsegmentation_take_part(kind, logits, target):
    options = dict(reduction='none') if kind == 'LovaszLoss' else {}
    loss = criterion_loss(dict(type=f'mmseg.{kind}', **options), logits, target)
    (gradient,) = torch.autograd.grad(loss, logits)
    assert loss.item() > 0
    assert gradient.isfinite().all()
    assert gradient[:, :, 2:].any()
    nothing = criterion_loss(dict(type=f'mmseg.{kind}', **options), logits, torch.full_like(target, 255))
    assert nothing.item() == 0
    nothing.backward()


def test_the_mask_says_what_counts(logits):
    """Whatever the ids of the others are."""
    target, valid = torch.randint(0, 3, (2, 1, 6, 5)), torch.rand(2, 1, 6, 5) > 0.5
    loss = MMSegLoss(dict(type='mmseg.CrossEntropyLoss', avg_non_ignore=True))
    wanted = F.cross_entropy(logits.permute(0, 2, 3, 1)[valid[:, 0]], target[:, 0][valid[:, 0]])
    assert_close(loss(logits, target, valid), wanted)
    assert loss.class_weight is None
    own = PixelCrossEntropyLoss()
    assert adapt_loss(own) is own


def test_losses_that_hold_the_ignored_id_themselves(logits, target):
    """They take no such argument."""
    loss = criterion_loss(dict(type='mmseg.OhemCrossEntropy', thres=1.0, min_kept=1), logits, target)
    assert loss.isfinite()
    assert loss.item() > 0
    with pytest.raises(ValueError, match='OhemCrossEntropy has ignore_label=0, but pixels without a label come as 255'):
        MMSegLoss(dict(type='mmseg.OhemCrossEntropy', ignore_label=0))
