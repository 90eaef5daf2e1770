"""Losses of DenseMTL by hand, at the edges, and against published numbers that the golden models do not cover."""

import pytest
import torch
from torch.testing import assert_close

from mlore_mm.models.losses import LossContext, Reduction
from mlore_mm.registry import MODELS
from mlore_mm.tasks import InverseDepth
from tests.shared import shared_path


def build(kind, **options):
    return MODELS.build(dict(type=kind, **options))


def column(*values):
    """(1, 1, N, 1)."""
    return torch.tensor(values, dtype=torch.float64)[None, None, :, None]


def test_berhu_by_hand():
    """Errors 1, 10 and a masked one of 90: C is 2, and three pixels are counted."""
    loss = build('BerHuLoss')(column(1, 10, 90), column(0, 0, 0), column(1, 1, 0) > 0)
    assert_close(loss.item(), (1 + (100 + 4) / 4) / 3)
    loss = build('BerHuLoss', average='valid')(column(1, 10, 90), column(0, 0, 0), column(1, 1, 0) > 0)
    assert_close(loss.item(), (1 + (100 + 4) / 4) / 2)


@pytest.mark.parametrize('valid', [True, False])
def test_berhu_without_any_error_has_a_gradient_of_zero(valid):
    logits = torch.zeros(1, 1, 2, 2, requires_grad=True)
    build('BerHuLoss')(logits, torch.zeros(1, 1, 2, 2), torch.full((1, 1, 2, 2), valid)).backward()
    assert torch.equal(logits.grad, torch.zeros(1, 1, 2, 2))


def test_weighted_cross_entropy_by_hand():
    """Two background pixels and one edge, one of them ignored; a resized label of 0.3 counts as edge."""
    logits = torch.tensor([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]], dtype=torch.float64)[None, :, :, None]
    loss = build('WeightedCrossEntropyLoss', class_weights=(0.25, 0.75))
    terms = -logits.log_softmax(dim=1)[0, :, :, 0]
    wanted = (0.25 * terms[0, 0] + 0.75 * terms[1, 2]) / (0.25 + 0.75)
    assert_close(loss(logits, column(0, 255, 0.3), column(1, 0, 1) > 0), wanted)
    with pytest.raises(ValueError, match='one weight per class'):
        loss(logits[:, :1], column(0, 0, 0), column(1, 1, 1) > 0)


def test_short_vectors_are_no_labels():
    target = torch.tensor([[0.0, 0.0, 0.9], [0.0, -0.004, 0.004]]).T[None, :, :, None]
    prediction = torch.tensor([[0.0, 0.0, 2.0], [0.0, 1.0, 0.0]]).T[None, :, :, None]
    valid = torch.ones(1, 1, 2, 1, dtype=torch.bool)
    assert_close(build('CosineNormalsLoss')(prediction, target, valid).item(), 0.0)
    legacy = build('CosineNormalsLoss', legacy_no_normals_mask=True)(prediction, target, valid).item()
    assert_close(legacy, (1 + 0.5**0.5) / 2, rtol=1e-5, atol=1e-5)


def golden_normals(valid=None):
    stored = torch.load(shared_path('golden/densemtl/normals_from_depth.pth'), weights_only=True)
    given = stored['inputs']
    inverse = given['inv_K'].double()
    fx, fy = 1 / inverse[:, 0, 0], 1 / inverse[:, 1, 1]
    rows = torch.stack([fx, fy, -inverse[:, 0, 2] * fx, -inverse[:, 1, 2] * fy], dim=1).tolist()
    metres = InverseDepth(name='depth').decode(given['inverse_depth'].double())
    mask = given['depth_mask'] if valid is None else valid(given)
    context = LossContext(dict(depth=torch.where(mask, metres, 0)), [dict(intrinsics=row) for row in rows])
    return stored, given['prediction'].double(), context


def published_range(given):
    metres = 655.36 / given['inverse_depth'].double() - 1
    return given['depth_mask'] & (metres > 0.001) & (metres < 80)


@pytest.mark.parametrize(('rules', 'valid'), [('training', None), ('validation', published_range)])
def test_published_loss_of_normals_from_depth(rules, valid):
    stored, prediction, context = golden_normals(valid)
    loss = build('NormalsFromDepthLoss', legacy_inverse_depth_normals=True)(prediction, None, None, context=context)
    assert loss.item() == pytest.approx(stored[f'loss_{rules}_rules'], rel=1e-9)


def test_normals_from_metres_are_another_label():
    stored, _, context = golden_normals()
    perfect = stored['from_metres']['normals_4_bases'].double()
    assert build('NormalsFromDepthLoss')(perfect, None, None, context=context).item() == pytest.approx(0, abs=1e-6)
    legacy = build('NormalsFromDepthLoss', legacy_inverse_depth_normals=True)
    assert legacy(perfect, None, None, context=context).item() > 0.1


def test_what_normals_from_depth_need_is_named():
    loss, prediction = build('NormalsFromDepthLoss'), torch.zeros(1, 3, 4, 4)
    with pytest.raises(ValueError, match="label of the task 'depth'"):
        loss(prediction, None, None, context=LossContext({}, [{}]))
    context = LossContext(dict(depth=torch.ones(1, 1, 4, 4)), [dict(img_path='street.png')])
    with pytest.raises(ValueError, match='street.png has none'):
        loss(prediction, None, None, context=context)


def test_no_valid_pixel_gives_zero_with_a_gradient():
    logits = torch.randn(1, 3, 4, 4, requires_grad=True)
    nothing = torch.zeros(1, 1, 4, 4, dtype=torch.bool)
    context = LossContext(dict(depth=torch.zeros(1, 1, 4, 4)), [dict(intrinsics=(4, 4, 2, 2))])
    for loss in (
        build('NormalsFromDepthLoss')(logits, None, None, context=context),
        build('CosineNormalsLoss')(logits, torch.zeros(1, 3, 4, 4), nothing),
        build('WeightedCrossEntropyLoss', class_weights=(1, 1, 1))(logits, torch.zeros(1, 1, 4, 4), nothing),
    ):
        loss.backward()
        assert loss.item() == 0
        assert torch.equal(logits.grad, torch.zeros_like(logits))


def test_means_over_the_whole_batch_in_one_process_are_the_same():
    logits, target, valid = column(1, 10, 90), column(0, 0, 0), column(1, 1, 0) > 0
    loss = build('BerHuLoss')
    assert_close(loss(logits, target, valid, reduction=Reduction(True)), loss(logits, target, valid))


def test_berhu_of_two_channels_counts_every_number():
    """Errors 1 and 10 at one pixel, of which both channels count: C is 2."""
    logits = torch.tensor([1.0, 10.0]).view(1, 2, 1, 1)
    loss = build('BerHuLoss', average='valid')(logits, torch.zeros(1, 2, 1, 1), torch.ones(1, 1, 1, 1) > 0)
    assert_close(loss.item(), (1 + (100 + 4) / 4) / 2)


def test_berhu_of_valid_pixels_where_there_are_none():
    logits = torch.ones(1, 1, 2, 2, requires_grad=True)
    loss = build('BerHuLoss', average='valid')(logits, torch.zeros(1, 1, 2, 2), torch.zeros(1, 1, 2, 2) > 0)
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(logits.grad, torch.zeros(1, 1, 2, 2))


@pytest.mark.parametrize('options', [dict(threshold=0), dict(average='mean')])
def test_a_berhu_loss_without_a_meaning_is_refused(options):
    with pytest.raises(ValueError, match=f'but got .*{next(iter(options.values()))}'):
        build('BerHuLoss', **options)


def test_the_shortest_label_still_counts():
    """A vector of length 0.1 opposite to the prediction costs 2; an ignored one and a shorter one nothing."""
    target = torch.tensor([[0.0, 0.0, -0.1], [0.0, 0.0, -0.09], [0.0, 0.0, -1.0]]).T[None, :, :, None]
    prediction = torch.tensor([0.0, 0.0, 1.0]).view(1, 3, 1, 1).expand(1, 3, 3, 1)
    loss = build('CosineNormalsLoss')(prediction, target, column(1, 1, 0) > 0)
    assert_close(loss.item(), 2.0)
    legacy = build('CosineNormalsLoss', legacy_no_normals_mask=True)(prediction, target, column(1, 1, 0) > 0)
    assert_close(legacy.item(), (2 + 2 + 1) / 3)  # an ignored label is a vector of zeros, at a right angle to all


def test_the_task_of_depth_may_have_another_name():
    """A wall in front of the camera faces it."""
    context = LossContext(dict(range=torch.full((1, 1, 6, 6), 2.0)), [dict(intrinsics=(4, 4, 2.5, 2.5))])
    prediction = torch.tensor([0.0, 0.0, 1.0]).view(1, 3, 1, 1).expand(1, 3, 6, 6)
    loss = build('NormalsFromDepthLoss', depth='range')
    assert loss(prediction, None, None, context=context).item() == pytest.approx(0, abs=1e-6)
    with pytest.raises(ValueError, match='an image has none'):
        loss(prediction, None, None, context=LossContext(context.targets, [{}]))
    with pytest.raises(ValueError, match='the batch has none'):
        loss(prediction, None, None, context=LossContext(context.targets))
