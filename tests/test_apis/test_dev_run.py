"""Two steps of everything, on the smallest MLoRE."""

import runpy
import sys

import pytest

from mlore_mm.apis import load_config
from mlore_mm.apis.training import dev_run
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
    assert (short.train_cfg.val_interval, short.train_cfg.val_begin, short.max_iters) == (6, 1, 6)
    assert short.default_hooks.checkpoint.max_keep_ckpts == -1
    assert short.default_hooks.logger.interval == 1
    assert [backend.type for backend in short.visualizer.vis_backends] == ['LocalVisBackend']
    indices = [short[f'{split}_dataloader'].dataset.get('indices') for split in ('train', 'val', 'test')]
    assert indices == [None, 2, 2]
    cfg.load_from, cfg.resume = 'start.pth', True
    cfg.default_hooks.checkpoint.update(out_dir='s3://x', filename_tmpl='a_{}.pth', save_begin=100)
    short, *_ = shorten(cfg)
    assert (short.load_from, short.resume) == ('start.pth', False)
    assert not {'out_dir', 'filename_tmpl', 'save_begin'} & set(short.default_hooks.checkpoint)
    cfg.train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=50, val_interval=5)
    short, first, last = shorten(cfg)
    assert (first, last, short.train_cfg.max_epochs) == ('epoch_1.pth', 'epoch_2.pth', 2)
    assert short.train_dataloader.dataset.indices == 6
    assert (short.train_cfg.val_interval, short.default_hooks.checkpoint.by_epoch) == (2, True)
    cfg.train_cfg, cfg.default_hooks = dict(by_epoch=True, max_epochs=9), {}
    short, first, _ = shorten(cfg)
    assert (first, short.default_hooks.checkpoint.type) == ('epoch_1.pth', 'SafeCheckpointHook')
    assert cfg.train_dataloader.dataset.get('indices') is None


def test_files_of_real_runs_are_left_alone(tmp_path):
    """Those that evaluators and hooks are told to write outside of the work folder."""
    cfg = load_config(write_tiny(tmp_path, 'data/none', TRAINING)[0])
    cfg.val_evaluator.out_file = cfg.test_evaluator.out_file = 'results/real.json'
    cfg.default_hooks.visualization = dict(type='MultiTaskVisualizationHook', draw=True, out_dir='panels')
    cfg.custom_hooks = [dict(type='RunClockHook', file='clock.json'), dict(type='EMAHook'), dict(type='X', out_dir='y')]
    short, *_ = shorten(cfg)
    assert 'real.json' not in str(short)
    assert short.default_hooks.visualization == dict(type='MultiTaskVisualizationHook', draw=True)
    assert short.custom_hooks == [dict(type='EMAHook'), dict(type='X')]
    assert cfg.custom_hooks[2].out_dir == 'y'


@pytest.mark.parametrize('broken', [[], ['depth']])
def test_the_three_runs(tmp_path, monkeypatch, broken):
    cfg, calls = load_config(write_tiny(tmp_path, 'data/none', TRAINING)[0], work_dir=str(tmp_path / 'work')), []

    def train(part, **options):
        calls.append((part.work_dir, options))
        (tmp_path / 'work' / 'fast_dev_run').mkdir(parents=True, exist_ok=True)

    def evaluate(part, checkpoint):
        calls.append((part.work_dir, checkpoint, part.get('task_names')))
        return dict(x=1), broken

    monkeypatch.setattr(dev_run, 'train_model', train)
    monkeypatch.setattr(dev_run, 'run_test', evaluate)
    folder = tmp_path / 'work' / 'fast_dev_run'
    given = dict(amp=True, auto_scale_lr=True, validate=False, tasks=['depth'], compile=True)
    if broken:
        with pytest.raises(ValueError, match='predictions are not finite: depth'):
            fast_dev_run(cfg, **given)
    else:
        assert fast_dev_run(cfg, **given) == dict(x=1)
    assert calls == [
        (f'{folder}/train', given),
        (f'{folder}/resume', dict(given, resume=f'{folder}/train/iter_1.pth')),
        (f'{folder}/test', f'{folder}/resume/iter_2.pth', ['depth']),
    ]
    assert folder.exists() == bool(broken)
    cfg.test_dataloader = None
    assert fast_dev_run(cfg) == {}
    assert calls[3][1] == dict(amp=False, auto_scale_lr=False, validate=True, tasks=None, compile=False)
