import json
import os
import runpy
import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope

from mlore_mm.apis.analysis.baselines import Baseline, as_config, find_evaluation, read_baselines
from mlore_mm.evaluation.multi_task_evaluator import MultiTaskEvaluator
from mlore_mm.registry import MODELS
from mlore_mm.tasks import bind_tasks
from tests.mlore_models import make_samples
from tests.shared import REPO

BASELINES = REPO / 'configs' / 'baselines'


def write(folder, images=4, iteration=600, **values):
    """As the evaluator writes it, ``folder`` being one of a run; its path."""
    rows = {name: dict(headline='score', value=value, metrics=dict(score=value)) for name, value in values.items()}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / 'evaluation.json').write_text(json.dumps(dict(iteration=iteration, images=images, tasks=rows)))
    return folder / 'evaluation.json'


def test_printed_lines_work_in_a_config(tmp_path, monkeypatch, capsys):
    """The tool's output at the end of a config gives the evaluators these baselines."""
    write(tmp_path / 'a' / '20250101_000000', semseg=12.3456789)
    write(tmp_path / 'b' / '20250101_000000', depth=0.5)
    script = REPO / 'tools' / 'misc' / 'baselines_from.py'
    monkeypatch.setattr(sys, 'argv', [str(script), str(tmp_path / 'a'), str(tmp_path / 'b')])
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(script), run_name='__main__')
    assert not end.value.code
    printed = capsys.readouterr().out
    assert '# score, a, iteration 600' in printed
    config = tmp_path / 'mine.py'
    config.write_text(f"_base_ = '{REPO}/configs/mlore/mlore_tiny_synthrooms_nyud.py'\n{printed}")
    cfg = bind_tasks(Config.fromfile(config))
    for split in ('val', 'test'):
        options = dict(cfg[f'{split}_evaluator'])
        assert options.pop('type') == 'MultiTaskEvaluator'
        assert MultiTaskEvaluator(**options).baselines == dict(semseg=12.3457, depth=0.5)


def test_the_newest_evaluation_of_a_run_counts(tmp_path):
    old, new = write(tmp_path / 'run' / '1', depth=1.0), write(tmp_path / 'run' / '0', depth=2.0)
    os.utime(old, (1, 1))
    assert find_evaluation(tmp_path / 'run') == new
    assert find_evaluation(old) == old
    (baseline,) = read_baselines([tmp_path / 'run', new])
    assert baseline.value == 2


def test_what_the_evaluator_writes_is_read(tmp_path):
    tasks = dict(depth=dict(type='Depth'))
    evaluator = MultiTaskEvaluator(tasks, out_file=str(tmp_path / 'evaluation.json'))
    report = evaluator._report('depth', {'depth/RMSE': 0.75, 'depth/absRel': 0.1})
    evaluator._write(tmp_path / 'evaluation.json', [report], {'depth/RMSE': 0.75}, 3)
    (baseline,) = read_baselines([tmp_path])
    assert (baseline.task, baseline.headline, baseline.value, baseline.images) == ('depth', 'RMSE', 0.75, 3)
    assert 'depth=0.75,  # RMSE' in as_config([baseline])


@pytest.mark.parametrize(
    ('second', 'message'),
    [
        (dict(depth=2.0), r"'depth' is in .* \(1\) and in .* \(2\)\. Give one run per task"),
        (dict(semseg=2.0, images=5), r'different images \(4 in .*, 5 in .*\)'),
        (dict(semseg=None), "None for score of the task 'semseg'"),
        (dict(semseg=0), "0 for score of the task 'semseg'"),
    ],
)
def test_runs_that_do_not_go_together(tmp_path, second, message):
    with pytest.raises(ValueError, match=message):
        read_baselines([write(tmp_path / 'a', depth=1.0), write(tmp_path / 'b', **second)])


def test_lines_name_the_run_and_the_iteration_where_they_are_known():
    files = (Path('run/20250101/evaluation.json'), Path('run/evaluation.json'))
    rows = [Baseline('depth', 'RMSE', 1 / 3, 4, step, file) for step, file in zip((None, 0), files, strict=True)]
    assert as_config(rows).splitlines() == [
        'val_evaluator = dict(',
        '    baselines=dict(',
        '        depth=0.333333,  # RMSE, run',
        '        depth=0.333333,  # RMSE, run, iteration 0',
        '    )',
        ')',
        'test_evaluator = val_evaluator',
    ]


def test_other_files(tmp_path):
    with pytest.raises(ValueError, match='No evaluation.json at or below'):
        read_baselines([tmp_path])
    (tmp_path / 'other.json').write_text('[1]')
    with pytest.raises(ValueError, match='other.json is not an evaluation.json'):
        read_baselines([tmp_path / 'other.json'])


@pytest.mark.parametrize('data', ['vitl_nyud', 'r50_pascal', 'tiny_synthrooms_nyud'])
def test_cut_to_one_task_it_is_the_single_task_model(data):
    path = BASELINES / f'hard-sharing_{data}.py'
    assert Config.fromfile(path).model.criterion == dict(type='MultiTaskCriterion')
    for task in Config.fromfile(path).tasks:
        cfg = Config.fromfile(path)
        cfg.task_names = [task]
        assert list(bind_tasks(cfg).model.tasks) == [task]


def test_hard_sharing_trains_at_the_resolution_of_mlore():
    """Stride 8, and 4 times as fine; every parameter learns."""
    cfg = bind_tasks(Config.fromfile(BASELINES / 'hard-sharing_tiny_synthrooms_nyud.py'))
    init_default_scope('mlore_mm')
    model, images = MODELS.build(cfg.model).train(), torch.randn(2, 3, 32, 64)
    logits = model.decode(images).logits
    assert {name: tuple(x.shape[1:]) for name, x in logits.items()} == {
        name: (task.out_channels, 16, 32) for name, task in model.tasks.items()
    }
    model.parse_losses(model.loss(images, make_samples(model, images)))[0].backward()
    assert all(x.grad is not None and x.grad.abs().sum() > 0 for x in model.decode_head.parameters())
