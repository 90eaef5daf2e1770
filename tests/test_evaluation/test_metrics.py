"""Metrics of all tasks but the boundary benchmark: published numbers, numbers by hand, and independence of batches."""

import math

import pytest
import torch
from mmengine.structures import PixelData
from torch.testing import assert_close

from mlore_mm.evaluation.functional import (
    angle_histogram,
    angular_error,
    class_counts,
    confusion_counts,
    delta_m,
    depth_errors,
    depth_sums,
    f_measure,
    histogram_median,
    image_scores,
    relative_gain,
    threshold_counts,
    to_bytes,
)
from mlore_mm.evaluation.metrics import IoUMetric, NormalsMetric
from mlore_mm.registry import METRICS
from mlore_mm.structures import MultiTaskDataSample
from mlore_mm.tasks import TaskSet
from tests.distributed import run_in_processes
from tests.reference import compact_reference, full_reference

# Published name to ours, and the largest deviation: the published code adds up in fp32.
PUBLISHED = dict(
    semseg=dict(mIoU=('mIoU', 1e-9)),
    human_parts=dict(mIoU=('mIoU', 1e-9)),
    sal=dict(maxF=('maxF', 1e-5)),
    normals=dict(mean=('mErr', 1e-5)),
    edge=dict(loss=('loss', 1e-7)),
    depth=dict(rmse=('RMSE', 1e-6), log_rmse=('logRMSE', 1e-6), abs_rel=('absRel', 1e-6), sq_rel=('sqRel', 1e-6)),
)


def evaluate(tasks, samples, name, batch_size=2, **options):
    """The metric of one task over samples, fed in batches, as a dict without prefix."""
    metric = METRICS.build({**tasks[name].metric, 'task': name, **options})
    metric.dataset_meta = dict(tasks=tasks.to_config())
    plain = [sample.to_dict() if hasattr(sample, 'to_dict') else sample for sample in samples]
    for start in range(0, len(plain), batch_size):
        metric.process(None, plain[start : start + batch_size])
    assert len(metric.results) == len(samples)
    return {key.removeprefix(f'{name}/'): value for key, value in metric.evaluate(len(samples)).items()}


def sample_of(name, prediction, target):
    """A sample of one task, one pixel high, from lists (W,) or (C, W)."""
    maps = [torch.as_tensor(values, dtype=torch.float32) for values in (prediction, target)]
    maps = [values[None, None] if values.ndim == 1 else values[:, None] for values in maps]
    pred, gt = (PixelData(**{name: values}) for values in maps)
    return MultiTaskDataSample(pred=pred, gt=gt, metainfo=dict(img_path='some.jpg'))


# ---- published numbers -----------------------------------------------------------------------------------------------
@pytest.mark.parametrize('batch_size', [1, 2, 5])
@pytest.mark.parametrize('name', ['pascal', 'nyud'])
def test_published_values(name, batch_size):
    reference = full_reference(name)
    samples = reference.samples()
    for task in reference.tasks:
        values = evaluate(reference.tasks, samples, task, batch_size)
        for theirs, (ours, tolerance) in PUBLISHED[task].items():
            assert values[ours] == pytest.approx(reference.metrics[task][theirs], abs=tolerance), (task, ours)


def test_published_iou_of_every_class():
    reference = full_reference('nyud')
    values = evaluate(reference.tasks, reference.samples(), 'semseg', per_class=True)
    assert [values[f'IoU_{i}'] for i in range(40)] == pytest.approx(reference.metrics['semseg']['IoU'], abs=1e-9)


def test_published_counts_of_every_saliency_threshold():
    reference = full_reference('pascal')
    metric = METRICS.build(dict(type='SaliencyMetric', task='sal'))
    metric.dataset_meta = dict(tasks=reference.tasks.to_config())
    metric.process(None, [sample.to_dict() for sample in reference.samples()])
    true_positives, predicted = sum(result['counts'] for result in metric.results)
    assert true_positives.tolist() == reference.metrics['sal']['true_positives']
    assert predicted.tolist() == reference.metrics['sal']['predicted_positives']


@pytest.mark.parametrize(('name', 'tolerance'), [('human_parts', 1e-9), ('sal', 0.05), ('edge', 1e-4), ('depth', 1e-3)])
def test_published_values_of_rounded_logits(name, tolerance):
    reference = compact_reference(name)
    values = evaluate(reference.tasks, reference.samples(), name)
    for theirs, (ours, _) in PUBLISHED[name].items():
        if ours != 'logRMSE':  # hangs on the number of predictions at exactly zero, which rounding changes
            assert values[ours] == pytest.approx(reference.metrics[name][theirs], abs=tolerance), ours


# ---- worked by hand --------------------------------------------------------------------------------------------------
PARTS = TaskSet(dict(semseg=dict(type='SemSeg', out_channels=4)))


def test_iou_by_hand():
    """Class 0: 2 of 3; class 1: 1 of 3; class 2 only predicted: 0; class 3 nowhere; the ignored pixel nowhere."""
    samples = [sample_of('semseg', [0, 1, 1, 2, 3, 0], [0, 0, 1, 1, 255, 0])]
    values = evaluate(PARTS, samples, 'semseg')
    assert values['mIoU'] == pytest.approx(100 * (2 / 3 + 1 / 3 + 0 + 0) / 4)
    assert values['aAcc'] == pytest.approx(100 * 3 / 5)
    assert values['mAcc'] == pytest.approx(100 * (2 / 3 + 1 / 2) / 2)
    skipped = evaluate(PARTS, samples, 'semseg', absent='skip')
    assert skipped['mIoU'] == pytest.approx(100 * (2 / 3 + 1 / 3 + 0) / 3)


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


def test_median_of_many_angles_is_near_the_exact_one():
    tasks = TaskSet(dict(normals=dict(type='SurfaceNormals')))
    target = torch.nn.functional.normalize(torch.randn(3, 4001), dim=0)
    prediction = target + 0.3 * torch.randn(3, 4001)
    values = evaluate(tasks, [sample_of('normals', prediction, target)], 'normals')
    cosine = torch.nn.functional.cosine_similarity(prediction.double(), target.double(), dim=0)
    assert values['median'] == pytest.approx(torch.rad2deg(cosine.acos()).median().item(), abs=0.05)


SALIENCY = TaskSet(dict(sal=dict(type='Saliency')))


def test_saliency_by_hand():
    """Found two of three salient pixels and one other at the best threshold: P = R = 2/3, so F = 2/3."""
    sample = sample_of('sal', [0.9, 0.9, 0.01, 0.9, 0.01, 0.9], [1, 1, 1, 0, 0, 255])
    assert evaluate(SALIENCY, [sample], 'sal')['maxF'] == pytest.approx(100 * 2 / 3)


def test_second_sigmoid_blurs_probabilities():
    """Probabilities of 0.21 and 0.40 fall between the same two thresholds; without the second sigmoid they do not."""
    sample = sample_of('sal', [0.40, 0.21], [1, 0])
    assert evaluate(SALIENCY, [sample], 'sal')['maxF'] == pytest.approx(100 * 1.3 * 1 / (0.3 + 2))
    assert evaluate(SALIENCY, [sample], 'sal', squash_twice=False)['maxF'] == pytest.approx(100)


def test_boundary_loss_by_hand():
    """The published form takes probability 0.5 for a logit; the plain one is the training loss."""
    tasks = TaskSet(dict(edge=dict(type='Edge')))
    sample = sample_of('edge', [0.5, 0.5, 0.9], [1, 0, 255])
    squashed = 1 / (1 + math.exp(-0.5))
    published = -(0.95 * math.log(squashed) + 0.05 * math.log(1 - squashed)) / 2
    assert evaluate(tasks, [sample], 'edge')['loss'] == pytest.approx(published)
    plain = evaluate(tasks, [sample], 'edge', squash_twice=False)['loss']
    assert plain == pytest.approx(math.log(2) / 2)


def test_regression_by_hand():
    tasks = TaskSet(dict(flow=dict(type='DenseRegression', out_channels=2)))
    sample = sample_of('flow', [[1, 2, 3], [1, 2, 3]], [[2, 2, 255], [1, 5, 3]])
    values = evaluate(tasks, [sample], 'flow')
    assert values == pytest.approx(dict(MAE=(1 + 0 + 0 + 3) / 4, RMSE=math.sqrt((1 + 9) / 4)))


# ---- images, batches, processes --------------------------------------------------------------------------------------
@pytest.mark.parametrize('name', ['human_parts', 'sal', 'edge', 'depth'])
def test_batches_and_order_do_not_matter(name):
    reference = compact_reference(name)
    samples = reference.samples()
    first = evaluate(reference.tasks, samples, name, batch_size=1)
    for other in (samples, samples[::-1]):
        assert evaluate(reference.tasks, other, name, batch_size=3) == pytest.approx(first, rel=1e-12)


@pytest.mark.parametrize('name', ['human_parts', 'sal', 'edge', 'depth'])
def test_an_unlabelled_image_changes_nothing(name):
    reference = compact_reference(name)
    samples = reference.samples()
    empty = reference.samples([0])[0]
    empty.gt.set_data({name: torch.full_like(empty.gt.get(name), reference.tasks[name].ignore_value)})
    assert evaluate(reference.tasks, [*samples, empty], name) == evaluate(reference.tasks, samples, name)


@pytest.mark.parametrize(
    'tasks',
    [
        PARTS,
        SALIENCY,
        *(TaskSet({k: dict(type=t)}) for k, t in dict(depth='Depth', n='SurfaceNormals', e='Edge').items()),
    ],
)
def test_a_data_set_without_labels_gives_nan_and_a_warning(tasks, log):
    (name, task), *_ = tasks.items()
    channels = 3 if task.target_channels == 3 else 1
    sample = sample_of(name, torch.zeros(channels, 4), torch.full((channels, 4), float(task.ignore_value)))
    values = evaluate(tasks, [sample, sample], name)
    assert values
    assert all(math.isnan(value) for value in values.values())
    assert f"No pixel of the 2 images is labelled for the task '{name}'" in log.read_text()


def _dealt(reference, indices, unlabelled):
    """Samples, of which those of one index have no labels."""
    samples = reference.samples(indices)
    for index, sample in zip(indices, samples, strict=True):
        for name, task in reference.tasks.items():
            if index == unlabelled:
                sample.gt.get(name).fill_(task.ignore_value)
    return samples


def _evaluate_part(indices_by_rank, size, unlabelled):
    """What mmengine's sampler deals out, and the result each process sees."""
    import torch.distributed as dist

    values = {}
    for name in ('human_parts', 'sal', 'depth'):
        reference = compact_reference(name)
        metric = METRICS.build({**reference.tasks[name].metric, 'task': name})
        metric.dataset_meta = dict(tasks=reference.tasks.to_config())
        for sample in _dealt(reference, [i % size for i in indices_by_rank[dist.get_rank()]], unlabelled):
            metric.process(None, [sample.to_dict()])
        values.update(metric.evaluate(size))
    return values


@pytest.mark.parametrize(
    ('indices', 'size', 'unlabelled'),
    [([[0, 2], [1, 3]], 3, None), ([[0], [1], [2]], 2, None), ([[0], [1], [2]], 3, 1)],
    ids=['odd number of images', 'more processes than images', 'a process without labels'],
)
def test_processes_give_what_one_gives(tmp_path, indices, size, unlabelled):
    """The sampler repeats the first images where the numbers do not divide; they must not count twice."""
    every = run_in_processes(_evaluate_part, tmp_path, indices, size, unlabelled, world_size=len(indices))
    expected = {}
    for name in ('human_parts', 'sal', 'depth'):
        reference = compact_reference(name)
        values = evaluate(reference.tasks, _dealt(reference, list(range(size)), unlabelled), name)
        expected.update({f'{name}/{key}': value for key, value in values.items()})
    assert every == [expected] * len(indices)


# ---- errors ----------------------------------------------------------------------------------------------------------
def test_prediction_of_another_size_is_named():
    with pytest.raises(ValueError, match=r'size \(1, 3\) and its label \(1, 2\) in some.jpg'):
        evaluate(SALIENCY, [sample_of('sal', [0, 0, 0], [1, 1])], 'sal')


def test_missing_prediction_is_named():
    with pytest.raises(ValueError, match=r"needs 'sal' in `pred` of a sample, but some.jpg has \['depth'\]"):
        evaluate(SALIENCY, [sample_of('depth', [0, 0], [1, 1])], 'sal')


def test_class_id_out_of_range_is_named():
    with pytest.raises(ValueError, match='A label holds a class id of 4 or more, but the task has 4 classes'):
        evaluate(PARTS, [sample_of('semseg', [0, 0], [7, 255])], 'semseg')


def test_task_unknown_to_the_data_set_is_named():
    metric = NormalsMetric('normals')
    metric.dataset_meta = dict(tasks=PARTS.to_config())
    with pytest.raises(ValueError, match=r"'normals', but the data set defines \['semseg'\]"):
        metric.process(None, [sample_of('normals', [0], [0]).to_dict()])


def test_prefix_is_the_task_unless_given():
    assert (IoUMetric('semseg').prefix, IoUMetric('semseg', prefix='val').prefix) == ('semseg', 'val')


def test_values_do_not_depend_on_earlier_evaluations():
    metric = IoUMetric('semseg')
    metric.dataset_meta = dict(tasks=PARTS.to_config())
    values = []
    for _ in range(2):
        metric.process(None, [sample_of('semseg', [0, 1], [0, 1]).to_dict()])
        values.append(metric.evaluate(1))
    assert_close(values[0], values[1])


def test_edges_of_the_counts_by_hand():
    """Half a turn falls into the last bin; a score at the threshold passes; the first id beyond the classes is none."""
    yes = torch.tensor([True, True])
    assert angle_histogram(torch.tensor([180.0, 0.0]), yes).sum() == 2
    passed = threshold_counts(torch.tensor([0.5]), torch.tensor([1]), yes[:1], torch.tensor([0.25, 0.5, 0.75]))
    assert passed.tolist() == [[1, 1, 0]] * 2
    with pytest.raises(ValueError, match='A prediction holds'):
        class_counts(torch.tensor([0, 4]), torch.tensor([0, 0]), yes, 4)


def test_angles_to_labels_of_any_length():
    along, between = torch.tensor([1.0, 0, 0]).view(3, 1, 1), torch.tensor([2.0, 2.0, 0]).view(3, 1, 1)
    assert angular_error(along, between).item() == pytest.approx(45)


def test_nothing_found_is_zero_and_not_nan():
    zero = torch.zeros(2, dtype=torch.int64)
    assert f_measure(zero, zero, torch.tensor(0)).tolist() == [0, 0]


def test_a_gain_needs_a_baseline():
    with pytest.raises(ValueError, match='a baseline is 0'):
        relative_gain(1.0, 0.0, True)


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


def test_probabilities_as_they_are_meet_255_thresholds():
    """Between 0.44 and 0.41 lie 105/256 to 112/256, and none of the published thresholds."""
    sample = sample_of('sal', [0.44, 0.41], [1, 0])
    assert evaluate(SALIENCY, [sample], 'sal', squash_twice=False)['maxF'] == pytest.approx(100)
    metric = METRICS.build(dict(SALIENCY['sal'].metric, task='sal', squash_twice=False))
    assert metric.thresholds.tolist() == [i / 256 for i in range(1, 256)]


@pytest.mark.parametrize(
    ('config', 'expected'),
    [
        (dict(type='DepthMetric'), ('RMSE', False, 'm')),
        (dict(type='PerImageDepthMetric'), ('RMSE', False, 'm')),
        (dict(type='NormalsMetric'), ('mErr', False, 'deg')),
        (dict(type='PerImageNormalsMetric'), ('mErr', False, 'deg')),
        (dict(type='IoUMetric'), ('mIoU', True, '')),
        (dict(type='SaliencyMetric'), ('maxF', True, '')),
        (dict(type='SaliencyIoUMetric'), ('mIoU', True, '')),
        (dict(type='BoundaryLossMetric'), ('loss', False, '')),
        (dict(type='BoundaryMetric'), ('odsF', True, '')),
        (dict(type='EdgeF1Metric'), ('F1', True, '')),
        (dict(type='RegressionMetric'), ('MAE', False, '')),
    ],
)
def test_what_tables_quote(config, expected):
    metric = METRICS.build(dict(config, task='x', output='scale_1'))
    assert (metric.headline, metric.higher_is_better, metric.unit) == expected
    assert metric.prefix == 'x.scale_1'
    assert METRICS.build(dict(config, task='x', prefix='p', collect_device='gpu')).collect_device == 'gpu'


@pytest.mark.parametrize(('low', 'high'), [(-1, 5), (3, 3), (5, 3)])
def test_a_range_of_depth_without_depth(low, high):
    with pytest.raises(ValueError, match=f'needs 0 <= min_depth < max_depth, but got min_depth={low} and max_depth'):
        METRICS.build(dict(type='DepthMetric', task='d', min_depth=low, max_depth=high))


def test_limits_of_depth_do_not_count():
    tasks = TaskSet(dict(depth=dict(type='DenseRegression', ignore_value=-1)))
    sample = sample_of('depth', [2, 2, 2, 2, 2], [1, 1.5, 3.5, 4, 2])
    values = evaluate(tasks, [sample], 'depth', type='DepthMetric', min_depth=1, max_depth=4)
    assert values['RMSE'] == pytest.approx(math.sqrt((0.25 + 2.25 + 0) / 3))
    assert (values['delta1'], values['delta2'], values['delta3']) == pytest.approx((100 / 3, 200 / 3, 100))


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


def test_scores_of_one_image_where_nothing_is_found():
    found = image_scores(torch.tensor([[2, 0], [4, 0]]), torch.tensor(3))
    assert {name: x.tolist() for name, x in found.items()} == dict(iou=[0.4, 0], precision=[0.5, 0], recall=[2 / 3, 0])
    none = image_scores(torch.tensor([[0, 0], [4, 0]]), torch.tensor(0))
    assert {name: x.tolist() for name, x in none.items()} == dict(iou=[0, 1], precision=[0, 0], recall=[0, 0])


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


@pytest.mark.parametrize('weight', [0, 1, -0.1])
def test_a_weight_of_boundaries_leaves_something_for_the_others(weight):
    with pytest.raises(ValueError, match=f'needs 0 < pos_weight < 1, but got {weight}'):
        METRICS.build(dict(type='BoundaryLossMetric', task='e', pos_weight=weight))


def test_a_certain_prediction_has_a_loss():
    tasks = TaskSet(dict(edge=dict(type='Edge')))
    right, wrong = sample_of('edge', [0.0, 1.0], [0, 1]), sample_of('edge', [1.0, 1.0], [0, 1])
    assert evaluate(tasks, [right], 'edge', squash_twice=False)['loss'] == pytest.approx(0, abs=1e-9)
    loss = evaluate(tasks, [wrong], 'edge', squash_twice=False, pos_weight=0.9)['loss']
    assert loss == pytest.approx(0.1 * math.log(1e12) / 2, rel=1e-3)


def test_the_median_inside_its_bin():
    histogram = torch.zeros(3600, dtype=torch.int32)
    histogram[[10, 20]] = torch.tensor([1, 3], dtype=torch.int32)  # 2 of 4: a third of the second bin
    assert histogram_median(histogram) == pytest.approx(0.05 * (20 + 1 / 3))
    assert math.isnan(histogram_median(torch.zeros(3600)))
    angles, valid = torch.tensor([0.0499, 0.0501, 180, 9]), torch.tensor([True, True, True, False])
    assert angle_histogram(angles, valid).nonzero().flatten().tolist() == [0, 1, 3599]
    assert angle_histogram(angles[:1], valid[:1]).shape == (3600,)  # histograms of images are added


def test_a_better_number_is_a_gain_in_percent():
    assert relative_gain(3.0, 2.0, True) == 50
    assert relative_gain(3.0, 2.0, False) == -50
    assert delta_m(dict(a=10.0, b=-4.0)) == 3
    assert f_measure(torch.tensor(2), torch.tensor(4), torch.tensor(3)).item() == pytest.approx(1.3 * 2 / (0.9 + 4))


def test_depth_without_light():
    """A prediction of 0 has the published floor as its logarithm, and no ratio below any limit."""
    one = torch.ones(1)
    sums = depth_sums(torch.tensor([0.0, 5.0]), torch.tensor([1.0, 0.0]), torch.tensor([True, False]))
    assert {name: x.item() for name, x in sums.items()} == pytest.approx(
        dict(RMSE=1, logRMSE=math.log(1e9) ** 2, absRel=1, sqRel=1, delta1=0, delta2=0, delta3=0)
    )
    errors = depth_errors(dict.fromkeys(sums, one * 4), one * 2)
    assert errors == pytest.approx(
        dict.fromkeys(sums, 2) | dict(RMSE=2**0.5, logRMSE=2**0.5, delta1=200, delta2=200, delta3=200)
    )
    near = depth_sums(torch.tensor([1.25, 1.2499, 0.8001]), torch.ones(3), torch.ones(3, dtype=torch.bool))
    assert (near['delta1'], near['delta2']) == (2, 3)
