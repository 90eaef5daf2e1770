"""Two steps of everything, on the smallest MLoRE."""

import runpy
import sys

import pytest

from mlore_mm.apis import load_config
from mlore_mm.apis.training.dev_run import fast_dev_run, shorten
from tests.shared import REPO
from tests.tiny import TRAINING, write_rooms, write_tiny


def test_all_steps_run_and_nothing_is_left(tmp_path, monkeypatch, capsys):
    config, _ = write_tiny(tmp_path, write_rooms(tmp_path / 'rooms', 4), TRAINING)
    work = tmp_path / 'work'
    options = ['--work-dir', str(work), '--fast-dev-run', '--tasks', 'depth', 'semseg']
    monkeypatch.setattr(sys, 'argv', ['train.py', config, *options])
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(REPO / 'tools' / 'train.py'), run_name='__main__')
    assert not end.value.code
    out = capsys.readouterr().out
    assert 'Training, validating, saving, resuming and testing work' in out
    assert out.count('Iter(train) [2/2]') == 2  # trained, and again from iter_1
    assert out.count('Iter(train) [1/2]') == 1
    assert out.count('Iter(val) [1/1]') >= 2
    assert 'Iter(test) [1/1]' in out  # two of the four images
    assert list(work.iterdir()) == []


def test_what_fails_late_fails_now_and_keeps_its_logs(tmp_path, monkeypatch):
    config, _ = write_tiny(tmp_path, write_rooms(tmp_path / 'rooms', 2), TRAINING)
    cfg = load_config(config, work_dir=str(tmp_path / 'work'))
    cfg.test_dataloader.dataset.data_root = str(tmp_path / 'lost')
    with pytest.raises((ValueError, FileNotFoundError), match='lost'):
        fast_dev_run(cfg, tasks=['depth'])
    assert (tmp_path / 'work' / 'fast_dev_run' / 'resume' / 'iter_2.pth').is_file()
    assert cfg.train_cfg.max_iters == 4


def test_steps_of_accumulated_gradients_and_of_epochs(tmp_path):
    config, _ = write_tiny(tmp_path, 'data/none', TRAINING)
    cfg = load_config(config)
    cfg.optim_wrapper.accumulative_counts = 3
    short, first, last = shorten(cfg)
    assert (first, last, short.train_cfg.max_iters) == ('iter_3.pth', 'iter_6.pth', 6)
    assert short.default_hooks.checkpoint.interval == 3
    cfg.train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=50, val_interval=5)
    short, first, last = shorten(cfg)
    assert (first, last, short.train_cfg.max_epochs) == ('epoch_1.pth', 'epoch_2.pth', 2)
    assert short.train_dataloader.dataset.indices == 6
    assert cfg.train_dataloader.dataset.get('indices') is None
