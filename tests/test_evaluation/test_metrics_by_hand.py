"""Metrics of all tasks but the boundary benchmark, worked by hand."""

import math

import pytest
import torch

from mlore_mm.evaluation.functional import (
    confusion_counts,
    threshold_counts,
    to_bytes,
)
from mlore_mm.evaluation.metrics import IoUMetric
from mlore_mm.registry import METRICS
from mlore_mm.tasks import TaskSet
from tests.test_evaluation.metric_samples import PARTS, SALIENCY, evaluate, sample_of


def test_iou_by_hand():
    """Class 0: 2 of 3; class 1: 1 of 3; class 2 only predicted: 0; class 3 nowhere; the ignored pixel nowhere."""
    samples = [sample_of('semseg', [0, 1, 1, 2, 3, 0], [0, 0, 1, 1, 255, 0])]
    values = evaluate(PARTS, samples, 'semseg')
    assert values['mIoU'] == pytest.approx(100 * (2 / 3 + 1 / 3 + 0 + 0) / 4)
    assert values['aAcc'] == pytest.approx(100 * 3 / 5)
    assert values['mAcc'] == pytest.approx(100 * (2 / 3 + 1 / 2) / 2)
    skipped = evaluate(PARTS, samples, 'semseg', absent='skip')
    assert skipped['mIoU'] == pytest.approx(100 * (2 / 3 + 1 / 3 + 0) / 3)


def test_every_pair_of_classes_is_counted():
    ids = torch.tensor([[0, 1, 2, 2, 1]]), torch.tensor([[0, 2, 2, 1, 1]])
    found = confusion_counts(*ids, torch.tensor([[True, True, True, True, False]]), 3)
    assert found.to_dense().tolist() == [[1, 0, 0], [0, 0, 1], [0, 1, 1]]  # true class first
    metric = IoUMetric('semseg', per_class=True)
    metric.dataset_meta = dict(tasks=dict(semseg=dict(type='SemSeg', out_channels=3, classes=('a', 'b', 'c'))))
    metric.process(None, [sample_of('semseg', *(x[0].tolist() for x in ids)).to_dict()])
    values = metric.evaluate(1)
    assert metric.confusion.tolist() == [[1, 0, 0], [0, 1, 1], [0, 1, 1]]
    assert values['semseg/IoU_c'] == pytest.approx(100 / 3)
    assert metric.class_scores['b'] == pytest.approx(dict(IoU=100 / 3, Acc=50))
    metric.process(None, [sample_of('semseg', [0, 0], [255, 255]).to_dict()])
    assert math.isnan(metric.evaluate(1)['semseg/mIoU'])
    assert (metric.confusion, metric.class_scores) == (None, {})
    with pytest.raises(ValueError, match="absent='zero' or 'skip', but got 'none'"):
        IoUMetric('semseg', absent='none')


def test_the_class_that_is_left_out_may_be_the_first():
    tasks = TaskSet(dict(semseg=dict(type='SemSeg', out_channels=3, ignore_value=0)))
    sample = sample_of('semseg', [1, 2, 2, 0], [1, 2, 1, 0])
    values = evaluate(tasks, [sample], 'semseg', per_class=True)
    assert values['mIoU'] == pytest.approx(50)
    assert math.isnan(values['IoU_0'])


def test_depth_by_hand():
    """Errors of 1 m at 2 m, 2 m at 4 m, and a negative prediction at 1 m; beyond 80 m and at 0 nothing counts."""
    tasks = TaskSet(dict(depth=dict(type='Depth')))
    values = evaluate(tasks, [sample_of('depth', [3, 2, -5, 1, 1], [2, 4, 1, 80, 0])], 'depth')
    assert values['RMSE'] == pytest.approx(math.sqrt((1 + 4 + 1) / 3))
    assert values['absRel'] == pytest.approx((0.5 + 0.5 + 1) / 3)
    assert values['sqRel'] == pytest.approx((0.5 + 1 + 1) / 3)
    logs = math.log(1.5) ** 2 + math.log(0.5) ** 2 + math.log(1e-9) ** 2
    assert values['logRMSE'] == pytest.approx(math.sqrt(logs / 3))
    assert (values['delta1'], values['delta2'], values['delta3']) == pytest.approx((0, 100 / 3, 100 / 3))


def test_limits_of_depth_do_not_count():
    tasks = TaskSet(dict(depth=dict(type='DenseRegression', ignore_value=-1)))
    sample = sample_of('depth', [2, 2, 2, 2, 2], [1, 1.5, 3.5, 4, 2])
    values = evaluate(tasks, [sample], 'depth', type='DepthMetric', min_depth=1, max_depth=4)
    assert values['RMSE'] == pytest.approx(math.sqrt((0.25 + 2.25 + 0) / 3))
    assert (values['delta1'], values['delta2'], values['delta3']) == pytest.approx((100 / 3, 200 / 3, 100))


@pytest.mark.parametrize(('low', 'high'), [(-1, 5), (3, 3), (5, 3)])
def test_a_range_of_depth_without_depth(low, high):
    with pytest.raises(ValueError, match=f'needs 0 <= min_depth < max_depth, but got min_depth={low} and max_depth'):
        METRICS.build(dict(type='DepthMetric', task='d', min_depth=low, max_depth=high))


def test_normals_by_hand():
    """Angles of 0, 10, 20, 90 and 180 degrees; lengths do not matter."""
    angles = torch.deg2rad(torch.tensor([0, 10.0, 20, 90, 180, 45]))
    prediction = torch.stack([angles.sin(), torch.zeros(6), angles.cos()]) * torch.tensor([1, 2, 0.5, 1, 1, 1])
    target = torch.tensor([[0.0], [0], [1]]).repeat(1, 6)
    target[1, 5] = 255
    tasks = TaskSet(dict(normals=dict(type='SurfaceNormals')))
    values = evaluate(tasks, [sample_of('normals', prediction, target)], 'normals')
    assert values['mErr'] == pytest.approx(60, abs=1e-4)
    assert values['median'] == pytest.approx(20, abs=0.05)
    assert values['RMSE'] == pytest.approx(math.sqrt((100 + 400 + 8100 + 32400) / 5), abs=1e-4)
    assert [values[f'below_{limit}'] for limit in ('11.25', '22.5', '30')] == pytest.approx([40, 60, 60])


def test_normals_of_eight_bits_by_hand():
    """0.62 is 206.55 of 255, which is cut off to 206; 0 is 127.5, cut off to 127; 0.7846 is 227.54."""
    exact = [[0.62], [0.0], [0.7846]]
    tasks = TaskSet(dict(normals=dict(type='SurfaceNormals')))
    sample = sample_of('normals', exact, exact)
    assert evaluate(tasks, [sample], 'normals')['mErr'] == pytest.approx(0, abs=0.03)
    stored = [2 * x / 255 - 1 for x in (206, 127, 227)]
    cosine = sum(a * b[0] for a, b in zip(stored, exact, strict=True)) / math.hypot(*stored) / math.hypot(0.62, 0.7846)
    found = evaluate(tasks, [sample], 'normals', eight_bit=True)['mErr']
    assert found == pytest.approx(math.degrees(math.acos(cosine)), abs=0.01)
    assert found > 0.2


def test_median_of_many_angles_is_near_the_exact_one():
    tasks = TaskSet(dict(normals=dict(type='SurfaceNormals')))
    target = torch.nn.functional.normalize(torch.randn(3, 4001), dim=0)
    prediction = target + 0.3 * torch.randn(3, 4001)
    values = evaluate(tasks, [sample_of('normals', prediction, target)], 'normals')
    cosine = torch.nn.functional.cosine_similarity(prediction.double(), target.double(), dim=0)
    assert values['median'] == pytest.approx(torch.rad2deg(cosine.acos()).median().item(), abs=0.05)


def test_saliency_by_hand():
    """Found two of three salient pixels and one other at the best threshold: P = R = 2/3, so F = 2/3."""
    sample = sample_of('sal', [0.9, 0.9, 0.01, 0.9, 0.01, 0.9], [1, 1, 1, 0, 0, 255])
    assert evaluate(SALIENCY, [sample], 'sal')['maxF'] == pytest.approx(100 * 2 / 3)


def test_second_sigmoid_blurs_probabilities():
    """Probabilities of 0.21 and 0.40 fall between the same two thresholds; without the second sigmoid they do not."""
    sample = sample_of('sal', [0.40, 0.21], [1, 0])
    assert evaluate(SALIENCY, [sample], 'sal')['maxF'] == pytest.approx(100 * 1.3 * 1 / (0.3 + 2))
    assert evaluate(SALIENCY, [sample], 'sal', squash_twice=False)['maxF'] == pytest.approx(100)


def test_probabilities_as_they_are_meet_255_thresholds():
    """Between 0.44 and 0.41 lie 105/256 to 112/256, and none of the published thresholds."""
    sample = sample_of('sal', [0.44, 0.41], [1, 0])
    assert evaluate(SALIENCY, [sample], 'sal', squash_twice=False)['maxF'] == pytest.approx(100)
    metric = METRICS.build(dict(SALIENCY['sal'].metric, task='sal', squash_twice=False))
    assert metric.thresholds.tolist() == [i / 256 for i in range(1, 256)]


def test_saliency_of_images_by_hand():
    """IoU over images 1/2 and 1, in a third one 1/3; each is scored alone, the unlabelled one not at all."""
    images = [([0.95, 0.95, 0.1], [1, 0, 0]), ([0.95, 0.1, 0.1], [1, 0, 255]), ([0.9, 0.9, 0.9], [255] * 3)]
    samples = [sample_of('sal', *image) for image in images]
    values = evaluate(SALIENCY, samples, 'sal', type='SaliencyIoUMetric')
    assert values['mIoU'] == pytest.approx(75)
    precision, recall = 0.75, 1
    assert values['maxF'] == pytest.approx(100 * 2 * precision * recall / (precision + recall))
    metric = METRICS.build(dict(type='SaliencyIoUMetric', task='sal'))
    assert metric.thresholds.tolist() == pytest.approx([0.2 + 0.05 * i for i in range(15)])
    cut = sample_of('sal', [0.9, 0.1], [1, 0])  # 229.5 of 255 is cut off to 229, below 0.9
    assert evaluate(SALIENCY, [cut], 'sal', type='SaliencyIoUMetric', eight_bit=True)['mIoU'] == 100
    soft = sample_of('sal', [0.95, 0.1], [0.5, 0.49])  # a label from one half on is salient
    assert evaluate(SALIENCY, [soft], 'sal', type='SaliencyIoUMetric')['mIoU'] == 100
    counts = threshold_counts(torch.tensor([229 / 255]), torch.tensor([1]), torch.tensor([True]), metric.thresholds)
    assert counts[1].tolist() == [1] * 14 + [0]
    assert to_bytes(torch.tensor([-0.1, 0.9, 0.9999, 2.0])).tolist() == [0, 229, 254, 255]


def test_boundary_loss_by_hand():
    """The published form takes probability 0.5 for a logit; the plain one is the training loss."""
    tasks = TaskSet(dict(edge=dict(type='Edge')))
    sample = sample_of('edge', [0.5, 0.5, 0.9], [1, 0, 255])
    squashed = 1 / (1 + math.exp(-0.5))
    published = -(0.95 * math.log(squashed) + 0.05 * math.log(1 - squashed)) / 2
    assert evaluate(tasks, [sample], 'edge')['loss'] == pytest.approx(published)
    plain = evaluate(tasks, [sample], 'edge', squash_twice=False)['loss']
    assert plain == pytest.approx(math.log(2) / 2)


def test_a_certain_prediction_has_a_loss():
    tasks = TaskSet(dict(edge=dict(type='Edge')))
    right, wrong = sample_of('edge', [0.0, 1.0], [0, 1]), sample_of('edge', [1.0, 1.0], [0, 1])
    assert evaluate(tasks, [right], 'edge', squash_twice=False)['loss'] == pytest.approx(0, abs=1e-9)
    loss = evaluate(tasks, [wrong], 'edge', squash_twice=False, pos_weight=0.9)['loss']
    assert loss == pytest.approx(0.1 * math.log(1e12) / 2, rel=1e-3)


@pytest.mark.parametrize('weight', [0, 1, -0.1])
def test_a_weight_of_boundaries_leaves_something_for_the_others(weight):
    with pytest.raises(ValueError, match=f'needs 0 < pos_weight < 1, but got {weight}'):
        METRICS.build(dict(type='BoundaryLossMetric', task='e', pos_weight=weight))


def test_regression_by_hand():
    tasks = TaskSet(dict(flow=dict(type='DenseRegression', out_channels=2)))
    sample = sample_of('flow', [[1, 2, 3], [1, 2, 3]], [[2, 2, 255], [1, 5, 3]])
    values = evaluate(tasks, [sample], 'flow')
    assert values == pytest.approx(dict(MAE=(1 + 0 + 0 + 3) / 4, RMSE=math.sqrt((1 + 9) / 4)))
