import json
import math

import pytest
import torch
from mmengine.config import Config
from mmengine.structures import PixelData

from mlore_mm.engine.runner import MultiTaskRunner
from mlore_mm.evaluation import MultiTaskEvaluator
from mlore_mm.evaluation.functional import delta_m, relative_gain
from mlore_mm.evaluation.report import TaskReport, format_number, format_table, without_nan
from mlore_mm.registry import EVALUATOR, METRICS
from mlore_mm.structures import MultiTaskDataSample
from mlore_mm.tasks import Depth
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


def report(value=0.5, baseline=None, **options):
    return TaskReport(Depth(name='depth'), dict(RMSE=value), baseline, **options)


def test_tables_by_hand():
    assert format_table([report()]).splitlines() == [
        'task   headline         value  more',
        '-----------------------------------',
        'depth  RMSE (m, down)  0.5000',
    ]
    compared = format_table([report(0.5, 2.0), report(12.0)], delta_m=-1.5).splitlines()
    assert compared[0].split() == ['task', 'headline', 'value', 'baseline', 'gain', '%', 'more']
    assert set(compared[1]) == {'-'}
    assert len(compared[1]) == max(map(len, compared[:1] + compared[2:]))
    assert compared[2].split() == ['depth', 'RMSE', '(m,', 'down)', '0.5000', '2.0000', '+75.00']
    assert compared[3].split() == ['depth', 'RMSE', '(m,', 'down)', '12.00']
    assert compared[4].split() == ['delta_m', '-1.50', *['mean', 'over', '1', 'of', '2', 'tasks:', 'depth']]
    assert compared[2].index('2.0000') + 6 == compared[0].index('baseline') + 8  # flush right


def test_further_numbers_are_cut_after_five():
    numbers = {f'n{i}': float(i) for i in range(7)}
    (row,) = format_table([TaskReport(Depth(name='d'), dict(RMSE=1.0, **numbers))]).splitlines()[2:]
    assert row.endswith('n3 3.0000  n4 4.0000  (+2 in the results)')
    del numbers['n5'], numbers['n6']
    assert format_table([TaskReport(Depth(name='d'), dict(RMSE=1.0, **numbers))]).endswith('n4 4.0000')


def test_numbers_have_four_digits_below_ten():
    assert [format_number(x) for x in (9.99999, 10, -10.5, math.nan, None)] == ['10.0000', '10.00', '-10.50', 'nan', '']
    assert without_nan(dict(a=dict(b=math.inf), c=[1], d=2.0)) == dict(a=dict(b=None), c=[1], d=2.0)


def test_a_report_as_a_dict():
    classes = dict(wall=dict(IoU=1.0))
    stored = report(0.5, 1.0, classes=classes).to_dict()
    assert (stored['gain'], stored['baseline'], stored['classes']) == (50, 1, classes)
    assert 'classes' not in report().to_dict()
    assert report().gain is None
    assert math.isnan(TaskReport(Depth(name='d'), {}).value)
    assert 'wall' not in format_table([report(classes=classes)])
    assert format_table([report(classes=classes, show_classes=True)]).endswith('wall          1.0000')


def test_baselines_of_other_tasks_and_metrics_as_they_come(tmp_path):
    extra = dict(type='IoUMetric', task='semseg', prefix='extra')
    for metrics in (extra, METRICS.build(extra), [METRICS.build(extra)]):
        evaluator = MultiTaskEvaluator(TASKS, metrics=metrics, baselines=dict(normals=0.0, depth='2'))
        assert evaluator.baselines == dict(depth=2.0)
        assert [metric.prefix for metric in evaluator.metrics] == ['semseg', 'depth', 'extra']
    assert evaluator.offline_evaluate(make_samples())['delta_m'] == 50
    assert evaluator.confusions == {}
    counted = dict(TASKS, semseg=dict(TASKS['semseg'], metric=dict(type='IoUMetric', per_class=True)))
    evaluator = MultiTaskEvaluator(counted, out_file=str(tmp_path / 'a.json'))
    evaluator.offline_evaluate(make_samples())
    names, pixels = evaluator.confusions['semseg']
    assert (names, pixels.tolist()) == (['0', '1'], [[1, 0], [1, 2]])
    assert evaluator.written == tmp_path / 'a.json'
    assert json.loads((tmp_path / 'a.json').read_text())['iteration'] is None


def test_a_full_disk_does_not_end_an_evaluation(tmp_path, log):
    (tmp_path / 'file').touch()
    evaluator = MultiTaskEvaluator(TASKS, out_file=str(tmp_path / 'file/a.json'))
    assert evaluator.offline_evaluate(make_samples())['depth/RMSE'] == 1
    assert evaluator.written is None
    assert 'Cannot write' in log.read_text()
