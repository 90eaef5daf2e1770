"""Predictions that are not finite: no metric of any task makes an ordinary number of them."""

import json
import math

import pytest
import torch
from mmengine.structures import PixelData

from mlore_mm.evaluation import MultiTaskEvaluator
from mlore_mm.evaluation.metrics.base import _total, sample_name
from mlore_mm.registry import METRICS
from mlore_mm.structures import MultiTaskDataSample
from mlore_mm.tasks import TaskSet
from tests.distributed import run_in_processes
from tests.test_tasks.kinds import KINDS, make, make_label, to_tensor

BOUNDARY = dict(type='BoundaryMetric', workers=0, ground_truth='target')
METRIC_OF = [(kind, None) for kind in KINDS] + [
    ('Edge', BOUNDARY),
    ('Edge', dict(type='BoundaryLossMetric')),
    ('Edge', dict(type='EdgeF1Metric')),
    ('Saliency', dict(type='SaliencyIoUMetric')),
    ('Saliency', dict(type='SaliencyIoUMetric', eight_bit=True)),
    ('SurfaceNormals', dict(type='NormalsMetric', eight_bit=True)),
    ('SurfaceNormals', dict(type='PerImageNormalsMetric')),
]
SHARES = dict(all=slice(None), half=slice(0, 3), one=slice(2, 3))


def sample(task, pred, name='a', ignored=None):
    target = to_tensor(make_label(task, 6, 6)).float()
    if ignored is not None:
        target[..., ignored] = task.ignore_value
    return dict(pred={task.name: pred}, gt={task.name: target}, sample_id=name)


def logits_of(task, seed=0):
    return torch.randn(task.out_channels, 6, 6, generator=torch.Generator().manual_seed(seed))


def measure(task, samples, config=None):
    metric = METRICS.build({**(config or task.metric), 'task': task.name})
    metric.dataset_meta = dict(tasks=TaskSet({task.name: task}).to_config())
    metric.process(None, samples)
    return metric.evaluate(len(samples)), metric


@pytest.mark.parametrize('share', SHARES)
@pytest.mark.parametrize('value', [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(('kind', 'config'), METRIC_OF)
def test_scores_that_are_not_finite_give_nan_and_are_named(kind, config, value, share, log):
    task, logits = make(kind), logits_of(make(kind))
    logits[..., slice(2, 3) if share == 'one' else slice(None), SHARES[share]] = value
    fine = sample(task, task.decode(logits_of(task, 1)), 'fine')
    found, metric = measure(task, [fine, sample(task, task.decode(logits), 'broken_7')], config)
    assert found
    assert all(math.isnan(x) for x in found.values()), found
    assert metric.not_finite == dict(images=1, first='broken_7')
    wanted = f"Predictions of '{task.name}' are not finite (NaN or infinite) in 1 of 2 images, the first is 'broken_7'"
    assert log.read_text().count(wanted) == 1


@pytest.mark.parametrize('value', [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(('kind', 'config'), METRIC_OF)
def test_decoded_maps_that_are_not_finite_give_nan(kind, config, value):
    task = make(kind)
    pred = task.decode(logits_of(task)).float()
    pred[..., 2, 2] = value
    found, _ = measure(task, [sample(task, pred)], config)
    assert all(math.isnan(x) for x in found.values()), found


def test_every_metric_of_tasks_is_tried():
    tried = {(config or make(kind).metric)['type'] for kind, config in METRIC_OF}
    ours = {name: metric for name, metric in METRICS.module_dict.items() if metric.__module__.startswith('mlore_mm.')}
    assert tried == {name for name, metric in ours.items() if hasattr(metric, 'headline')}


@pytest.mark.parametrize('kind', KINDS)
def test_what_stands_at_ignored_pixels_does_not_matter(kind):
    task = make(kind)
    pred = task.decode(logits_of(task)).float()
    right, _ = measure(task, [sample(task, pred, ignored=slice(0, 2))])
    pred[..., :2] = math.nan
    found, metric = measure(task, [sample(task, pred, ignored=slice(0, 2))])
    assert found == right
    assert metric.not_finite is None


@pytest.mark.parametrize('kind', KINDS)
def test_such_maps_are_drawn_and_stored_without_warnings(kind, recwarn):
    task, logits = make(kind), logits_of(make(kind))
    logits[..., :2] = math.nan
    for pred in (task.decode(logits).float().numpy(), task.decode(logits * math.nan).float().numpy()):
        assert task.draw(pred, task.value_range(pred)).shape == (6, 6, 3)
        task.to_file(pred)
        task.legend(pred)
        json.dumps(task.result(pred).summary(), allow_nan=False)
    assert not [x for x in recwarn if issubclass(x.category, RuntimeWarning)]


TASKS = dict(semseg=dict(type='SemSeg', out_channels=2), depth=dict(type='Depth'))


def make_samples():
    samples = []
    for name, metres in (('first', 2.0), ('second', math.nan), ('third', math.inf)):
        pred = PixelData(semseg=torch.tensor([[[0, 1]]]), depth=torch.full((1, 1, 2), metres))
        gt = PixelData(semseg=torch.tensor([[[0, 1]]]), depth=torch.ones(1, 1, 2))
        samples.append(MultiTaskDataSample(pred=pred, gt=gt, metainfo=dict(sample_id=name)))
    return samples


def test_table_and_file_name_task_and_image(tmp_path, log):
    baselines = dict(semseg=50.0, depth=1.0)
    evaluator = MultiTaskEvaluator(TASKS, baselines=baselines, out_file=str(tmp_path / 'out.json'))
    results = evaluator.offline_evaluate(make_samples())
    assert results['semseg/mIoU'] == 100
    assert math.isnan(results['depth/delta1'])
    assert math.isnan(results['delta_m'])
    assert evaluator.not_finite == dict(depth=dict(images=2, first='second'))
    assert "\ndepth: not finite in 2 images, the first is 'second'" in log.read_text()
    stored = json.loads((tmp_path / 'out.json').read_text())
    assert stored['not_finite'] == evaluator.not_finite
    assert stored['results']['depth/RMSE'] is None
    assert evaluator.offline_evaluate(make_samples()[:1])['depth/RMSE'] == 1
    assert evaluator.not_finite == {}


def _evaluate_part(out_file):
    import torch.distributed as dist

    evaluator = MultiTaskEvaluator(TASKS, out_file=out_file)
    evaluator.process(make_samples()[:2][dist.get_rank() :][:1])
    evaluator.evaluate(2)
    return evaluator.not_finite


def test_every_process_knows(tmp_path):
    found = run_in_processes(_evaluate_part, tmp_path, str(tmp_path / 'out.json'), world_size=2)
    assert found == [dict(depth=dict(images=1, first='second'))] * 2


# ---- what the base of all metrics does besides -----------------------------------------------------------------------
def test_a_group_of_auxiliary_predictions_is_measured_in_place_of_the_final_one():
    metric = METRICS.build(dict(type='DepthMetric', task='depth', output='scale_1'))
    metric.dataset_meta = dict(tasks=TASKS)
    final, coarse, label = (torch.full((1, 1, 2), x) for x in (2.0, 4.0, 3.0))
    sample = dict(pred=dict(depth=label), groups={'scale_1/depth': coarse}, gt=dict(depth=label))
    metric.process(None, [sample])
    assert metric.evaluate(1)['depth.scale_1/RMSE'] == 1
    with pytest.raises(ValueError, match=r"needs 'scale_1/depth' in `groups` of a sample, but x has \[\]"):
        metric.process(None, [dict(pred=dict(depth=final), gt=dict(depth=label), img_path='x')])


def test_the_task_follows_the_data_set():
    metric = METRICS.build(dict(type='DepthMetric', task='depth'))
    for ignored in (0, 5.0):
        metric.dataset_meta = dict(tasks=dict(depth=dict(type='Depth', ignore_value=ignored)))
        assert metric.task.ignore_value == ignored
    assert metric.compute_metrics([]) == {}


def test_sums_neither_overflow_nor_round():
    many = [torch.tensor(2**31 - 1, dtype=torch.int32)] * 3
    assert _total(many).item() == 3 * (2**31 - 1)
    assert _total([torch.tensor(1e8), torch.tensor(1.0), torch.tensor(-1e8)]).item() == 1
    assert _total([torch.tensor([1, 2]), torch.tensor([3, 4])]).tolist() == [4, 6]


def test_names_of_images():
    assert sample_name(dict(sample_id='a/b', img_path='x/y.jpg')) == 'a/b'
    assert sample_name(dict(img_path='x/y.jpg')) == 'y'
    assert sample_name({}) == 'without a name'
