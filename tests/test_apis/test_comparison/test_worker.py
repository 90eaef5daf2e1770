"""What the process of a run leaves."""

import json

import pytest
from mmengine.config import Config

from mlore_mm.apis.comparison import worker


def test_the_score_is_that_of_the_last_iteration(tmp_path, monkeypatch):
    """An evaluation of another iteration is made again, from the newest checkpoint, on the validation set."""
    row = dict(headline='RMSE', value=0.5, unit='m', higher_is_better=False, more=1)
    file, asked = tmp_path / 'evaluation.json', []

    def write(iteration, value=0.5):
        tasks = dict(depth=dict(row, value=value))
        file.write_text(json.dumps(dict(iteration=iteration, images=3, tasks=tasks)))

    def run_test(cfg, checkpoint):
        asked.append((cfg.test_dataloader, cfg.test_evaluator, checkpoint))
        write(None, 0.25)

    monkeypatch.setattr(worker, 'run_test', run_test)
    monkeypatch.setattr(worker, 'newest_whole_checkpoint', lambda folder: (f'{folder}/iter_4.pth', []))
    cfg = Config(dict(val_dataloader=1, val_evaluator=2, test_dataloader=3, test_evaluator=4))
    write(4)
    row.pop('more')
    assert worker._scores(cfg, tmp_path, 4) == dict(tasks=dict(depth=row), images=3)
    assert asked == []
    write(2)
    assert worker._scores(cfg, tmp_path, 4)['tasks']['depth']['value'] == 0.25
    assert asked == [(1, 2, f'{tmp_path}/iter_4.pth')]
    assert cfg.test_dataloader == 3
    write(4, None)
    with pytest.raises(ValueError, match='The score of depth is not a number'):
        worker._scores(cfg, tmp_path, 4)


def test_what_a_worker_leaves(tmp_path, monkeypatch):
    monkeypatch.setattr(worker, 'probe', lambda folder: dict(a=1))
    monkeypatch.setattr(worker, 'train_and_measure', lambda folder: [][0])
    assert worker.main([str(tmp_path), '--probe']) == 0
    assert json.loads((tmp_path / 'probe.json').read_text()) == dict(a=1)
    assert worker.main([str(tmp_path)]) == 1
    failed = json.loads((tmp_path / 'failed.json').read_text())
    assert failed == dict(status='failed', reason='IndexError: list index out of range')
    assert not (tmp_path / 'result.json').exists()
