import json
import math

import pytest
import torch
from mmengine.config import Config
from mmengine.structures import PixelData

from mlore_mm.engine.runner import MultiTaskRunner
from mlore_mm.evaluation import MultiTaskEvaluator
from mlore_mm.evaluation.functional import delta_m, relative_gain
from mlore_mm.registry import EVALUATOR
from mlore_mm.structures import MultiTaskDataSample
from tests.toy import write_config

TASKS = dict(semseg=dict(type='SemSeg', out_channels=2), depth=dict(type='Depth'), edge=dict(type='Edge', metric={}))


def make_samples():
    """semseg: IoU of 1/2 and 2/3; depth: errors of 1 and 1 m; an edge map that nobody evaluates."""
    pred = PixelData(semseg=torch.tensor([[[0, 1, 1, 0]]]), depth=torch.tensor([[[2.0, 3, 4, 5]]]))
    gt = PixelData(semseg=torch.tensor([[[0, 1, 1, 1]]], dtype=torch.uint8), depth=torch.tensor([[[1.0, 2, 0, 0]]]))
    return [MultiTaskDataSample(pred=pred, gt=gt, metainfo=dict(img_path='a.jpg'))]


def test_gain_by_hand():
    """mIoU from 40 to 44 is 10% better; RMSE from 0.5 to 0.6 is 20% worse."""
    gains = dict(semseg=relative_gain(44, 40, True), depth=relative_gain(0.6, 0.5, False))
    assert gains == pytest.approx(dict(semseg=10, depth=-20))
    assert delta_m(gains) == pytest.approx(-5)


def test_results_gain_table_and_file(tmp_path):
    out = tmp_path / 'sub' / 'numbers.json'
    evaluator = EVALUATOR.build(
        dict(
            type='MultiTaskEvaluator',
            tasks=TASKS,
            metrics=[],
            baselines=dict(semseg=50.0, depth=2.0, normals=15.0),
            out_file=str(out),
        )
    )
    results = evaluator.offline_evaluate(make_samples())
    miou = 100 * (1 / 2 + 2 / 3) / 2
    assert results['semseg/mIoU'] == pytest.approx(miou)
    assert results['depth/RMSE'] == pytest.approx(1)
    assert results['delta_m'] == pytest.approx(((miou - 50) / 50 + 0.5) / 2 * 100)
    stored = json.loads(out.read_text())
    assert list(stored['tasks']) == ['semseg', 'depth']
    assert stored['tasks']['depth'] == dict(
        headline='RMSE',
        value=1.0,
        unit='m',
        higher_is_better=False,
        baseline=2.0,
        gain=50.0,
        metrics={key.removeprefix('depth/'): value for key, value in results.items() if key.startswith('depth/')},
    )
    assert stored['results'] == pytest.approx(results)


def test_table_starts_with_the_headlines_in_task_order(log):
    MultiTaskEvaluator(TASKS, baselines=dict(depth=2.0)).offline_evaluate(make_samples())
    lines = log.read_text().splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith('task'))
    cells = [line.split() for line in lines[start : start + 5]]
    assert cells[0][:5] == ['task', 'headline', 'value', 'baseline', 'gain']
    assert cells[2][:4] == ['semseg', 'mIoU', '(up)', '58.33']
    assert cells[3][:7] == ['depth', 'RMSE', '(m,', 'down)', '1.0000', '2.0000', '+50.00']
    assert lines[start + 4].endswith('+50.00  mean over 1 of 2 tasks: depth')


def test_classes_have_a_table_and_rows_say_what_they_leave_out(tmp_path, log):
    """IoU by hand: 1/2 and 2/3; of the labelled pixels 1 of 1 and 2 of 3 are found."""
    semseg = dict(TASKS['semseg'], classes=('wall', 'floor'))
    by_name = dict(wall=dict(IoU=50.0, Acc=100.0), floor=dict(IoU=200 / 3, Acc=200 / 3))
    for per_class in (False, True):
        semseg['metric'] = dict(type='IoUMetric', per_class=per_class)
        MultiTaskEvaluator(dict(TASKS, semseg=semseg), baselines=dict(depth=2.0)).offline_evaluate(make_samples())
        stored = json.loads((log.parent / 'evaluation.json').read_text())
        assert stored['tasks']['semseg']['classes'] == {name: pytest.approx(x) for name, x in by_name.items()}
        assert stored['delta_m_tasks'] == ['depth']
        text = log.read_text()
        assert ('semseg: class    IoU     Acc' in text) == per_class
        assert ('floor          66.67   66.67' in text) == per_class
        assert text.count('(+4 in evaluation.json)') == 1  # two classes by two scores, only where there is no table
    assert text.count('(+1 in evaluation.json)') == 2  # the sixth further number of depth


def test_no_baseline_no_gain():
    assert 'delta_m' not in MultiTaskEvaluator(TASKS).offline_evaluate(make_samples())


def test_file_lies_beside_the_log(log):
    MultiTaskEvaluator(TASKS).offline_evaluate(make_samples())
    assert json.loads((log.parent / 'evaluation.json').read_text())['images'] == 1


def test_nan_is_null_in_the_file(tmp_path):
    samples = make_samples()
    samples[0].gt.depth.fill_(0)
    evaluator = MultiTaskEvaluator(TASKS, baselines=dict(depth=2.0), out_file=str(tmp_path / 'a.json'))
    results = evaluator.offline_evaluate(samples)
    assert math.isnan(results['depth/RMSE'])
    assert json.loads((tmp_path / 'a.json').read_text())['tasks']['depth']['value'] is None


def test_further_metrics_see_the_same_samples():
    extra = dict(type='IoUMetric', task='semseg', absent='skip', prefix='extra')
    results = MultiTaskEvaluator(TASKS, metrics=[extra]).offline_evaluate(make_samples())
    assert results['extra/mIoU'] == results['semseg/mIoU']


def test_definitions_of_the_evaluator_come_before_those_of_the_data_set():
    evaluator = MultiTaskEvaluator(dict(depth=dict(type='Depth', ignore_value=2.0)))
    evaluator.dataset_meta = dict(tasks=dict(depth=dict(type='Depth')), classes=('a',))
    assert evaluator.dataset_meta['classes'] == ('a',)
    assert evaluator.metrics[0].task.ignore_value == 2.0


def test_a_headline_that_no_metric_gives_is_named(log):
    tasks = dict(depth=dict(type='Depth', headline='rmse'))
    evaluator = MultiTaskEvaluator(tasks, baselines=dict(depth=2.0))
    results = evaluator.offline_evaluate(make_samples())
    assert math.isnan(results['delta_m'])
    assert "The headline 'rmse' of the task 'depth' is not among its metrics ['RMSE'" in log.read_text()


def test_missing_tasks_and_a_zero_baseline_are_named():
    with pytest.raises(ValueError, match='bind_tasks'):
        MultiTaskEvaluator()
    with pytest.raises(ValueError, match="'depth': 0.0"):
        MultiTaskEvaluator(TASKS, baselines=dict(depth=0))


MORE = """
val_evaluator = dict(type='MultiTaskEvaluator', metrics=[], baselines=dict(semseg=50.0, depth=0.5))
test_evaluator = val_evaluator
default_hooks = dict(checkpoint=dict(interval=2, save_best=['semseg/mIoU', 'delta_m'], rule='greater'))
"""


def test_the_runner_keeps_the_best_checkpoints_and_the_file_lies_with_its_log(tmp_path):
    config = Config.fromfile(write_config(tmp_path, more=MORE))
    config.work_dir = str(tmp_path / 'work')
    runner = MultiTaskRunner.from_cfg(config)
    runner.train()
    work = tmp_path / 'work'
    assert len(list(work.glob('best_semseg_mIoU_iter_*.pth'))) == 1
    assert len(list(work.glob('best_delta_m_iter_*.pth'))) == 1
    (stored,) = work.glob('*/evaluation.json')
    numbers = json.loads(stored.read_text())
    assert list(numbers['tasks']) == ['semseg', 'depth', 'normals']
    assert numbers['iteration'] == 4
    assert numbers['results']['delta_m'] == numbers['delta_m']
    assert 'Evaluation of 3 images' in next(work.glob('*/*.log')).read_text()
