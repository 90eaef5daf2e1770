"""The command lines, on the toy model: in this process where that shows the same, as imports take seconds."""

import json
import os
import re
import runpy
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import cv2
import mmseg
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.structures import PixelData
from PIL import Image

from mlore_mm.apis.inference.save_predictions import file_encoders, save_predictions
from mlore_mm.apis.training.test import _draw_all, _use_tta
from mlore_mm.apis.training.train import _set_resume, _use_amp, train_model
from mlore_mm.datasets.label_readers import IdMapReader, NpyReader, ScaledReader
from mlore_mm.structures import MultiTaskDataSample
from mlore_mm.tasks import TaskSet
from tests.shared import REPO
from tests.tiny import write_rooms, write_tiny
from tests.toy import SIZE, write_config

TRAIN, TEST = REPO / 'tools' / 'train.py', REPO / 'tools' / 'test.py'


@pytest.fixture
def run(monkeypatch, capsys):
    """Runs a Python script as a command line would; returns what it printed."""

    def run(script: Path, *args) -> str:
        monkeypatch.setattr(sys, 'argv', [str(script), *map(str, args)])
        try:
            runpy.run_path(str(script), run_name='__main__')
        except SystemExit as end:
            if end.code:
                raise
        return capsys.readouterr().out

    return run


def meta(path: Path) -> dict:
    return torch.load(path, weights_only=True)['meta']


def test_train_resume_and_test(tmp_path, run):
    config, work = write_config(tmp_path), tmp_path / 'work'
    out = run(TRAIN, config, '--work-dir', work, '--tasks', 'depth', 'semseg', '--no-validate')
    assert str(work) in out
    assert meta(work / 'iter_4.pth')['tasks'] == ['semseg', 'depth']

    longer = ('--cfg-options', 'train_cfg.max_iters=6')
    run(TRAIN, config, '--work-dir', work, '--tasks', 'depth', 'semseg', '--resume', *longer)
    assert meta(work / 'iter_6.pth')['iter'] == 6
    assert not list(work.glob('iter_2.pth'))  # max_keep_ckpts

    other = tmp_path / 'other'
    from_four = ('--resume', work / 'iter_4.pth')
    run(TRAIN, config, '--work-dir', other, '--tasks', 'depth', 'semseg', *from_four, *longer)
    assert meta(other / 'iter_6.pth')['iter'] == 6
    assert not (other / 'iter_2.pth').exists()


def test_resume_without_a_checkpoint_keeps_the_starting_weights(tmp_path, run):
    config, work = write_config(tmp_path), tmp_path / 'work'
    run(TRAIN, config, '--work-dir', tmp_path / 'first', '--no-validate')
    start = tmp_path / 'first' / 'iter_4.pth'
    still = 'optim_wrapper.optimizer.lr=0.'
    run(TRAIN, config, '--work-dir', work, '--resume', '--cfg-options', f'load_from={start}', still)
    first, second = (torch.load(x, weights_only=True)['state_dict'] for x in (start, work / 'iter_4.pth'))
    torch.testing.assert_close(second['heads.depth.weight'], first['heads.depth.weight'])


def test_pictures_and_raw_predictions(tmp_path, run):
    config, work = write_config(tmp_path), tmp_path / 'work'
    run(TRAIN, config, '--work-dir', work, '--no-validate')
    out = run(
        *(TEST, config, work / 'iter_4.pth', '--work-dir', work),
        *('--show-dir', tmp_path / 'panels', '--out', tmp_path / 'raw', '--tasks', 'normals', 'depth'),
    )
    assert str(tmp_path / 'panels') in out
    assert sorted(x.name for x in (tmp_path / 'panels').iterdir()) == ['000.png', '001.png', '002.png']
    panel = Image.open(tmp_path / 'panels' / '000.png')
    assert panel.width > 3 * 256  # photo and two tasks
    assert sorted(x.name for x in (tmp_path / 'raw').iterdir()) == ['depth', 'index.json', 'normals']
    depth = cv2.imread(str(tmp_path / 'raw' / 'depth' / '000.png'), cv2.IMREAD_UNCHANGED)
    assert (depth.dtype, depth.shape) == (np.uint16, SIZE)
    normals = np.load(tmp_path / 'raw' / 'normals' / '002.npy')
    np.testing.assert_allclose(np.linalg.norm(normals, axis=-1), np.ones(SIZE), atol=1e-5)


def test_files_have_the_codes_of_the_labels_and_names_with_their_folders(tmp_path, run):
    ids = ('a/b_1', 'a_b/1', 'a/x', 'b/x')
    rooms = Path(write_rooms(tmp_path / 'rooms', 4))
    for folder in ('images', 'segmentation', 'depth', 'normals', 'edge'):
        for index, new in enumerate(ids):
            (old,) = (rooms / folder).glob(f'{index:03d}.*')
            (rooms / folder / new).parent.mkdir(exist_ok=True)
            old.rename(rooms / folder / f'{new}{old.suffix}')
    (rooms / 'gt_sets' / 'val.txt').write_text('\n'.join(ids))
    config, checkpoint = write_tiny(tmp_path, str(rooms))
    out = tmp_path / 'raw'
    panels = ('--show-dir', tmp_path / 'panels')
    run(TEST, config, checkpoint, '--work-dir', tmp_path / 'work', '--out', out, '--tasks', 'semseg', 'depth', *panels)
    for folder in (out / 'semseg', tmp_path / 'panels'):
        assert sorted(x.relative_to(folder).as_posix() for x in folder.rglob('*.png')) == sorted(
            f'{x}.png' for x in ids
        )
    notes = json.loads((out / 'index.json').read_text())['tasks']
    assert notes['semseg'] == 'PNG: the codes of the label files'
    assert 'millimetres' in notes['depth']
    same = total = 0
    for name in ids:
        found, label = (cv2.imread(str(x / f'{name}.png'), -1) for x in (out / 'semseg', rooms / 'segmentation'))
        same, total = same + (found == label)[label > 0].sum(), total + (label > 0).sum()
    (stored,) = (tmp_path / 'work').rglob('evaluation.json')
    accuracy = json.loads(stored.read_text())['results']['semseg/aAcc']
    assert 100 * same / total == pytest.approx(accuracy)


def test_predictions_that_are_not_finite_end_the_test_with_a_status(tmp_path, run):
    config, checkpoint = write_tiny(tmp_path, write_rooms(tmp_path / 'rooms', 2))
    content = torch.load(checkpoint, weights_only=True)
    for key, value in content['state_dict'].items():  # finite, but what they make is not
        if key.startswith('decode_head.heads.depth.') and key.endswith('weight'):
            value.fill_(3e38)
    torch.save(content, checkpoint)
    with pytest.raises(SystemExit, match=r"predictions are not finite: depth in 2 images, such as '000'") as end:
        run(TEST, config, checkpoint, '--work-dir', tmp_path / 'work', '--tasks', 'depth', 'semseg')
    assert end.value.code
    (stored,) = (tmp_path / 'work').rglob('evaluation.json')
    assert json.loads(stored.read_text())['not_finite'] == dict(depth=dict(images=2, first='000'))


def test_training_in_mixed_precision(tmp_path, run):
    config, work = write_config(tmp_path), tmp_path / 'work'
    run(TRAIN, config, '--work-dir', work, '--amp', '--no-validate')
    stored = torch.load(work / 'iter_4.pth', weights_only=True)
    assert {x.dtype for x in stored['state_dict'].values() if x.is_floating_point()} == {torch.float32}
    assert 'AmpOptimWrapper' in stored['meta']['cfg']


def test_pictures_while_training(tmp_path, run):
    config, work = write_config(tmp_path), tmp_path / 'work'
    drawing = ('default_hooks.visualization.draw=True', 'default_hooks.visualization.interval=2')
    run(TRAIN, config, '--work-dir', work, '--cfg-options', *drawing)
    pictures = sorted(path.name for path in work.rglob('vis_image/*.png'))
    assert pictures == ['val_000_2.png', 'val_000_4.png', 'val_002_2.png', 'val_002_4.png']


@pytest.mark.parametrize(
    ('script', 'args', 'message'),
    [
        (TRAIN, ['nowhere.py'], 'no config file nowhere.py'),
        (TRAIN, ['{config}', '--tasks', 'depht'], r"Unknown task \['depht'\].*'depth'"),
        (TRAIN, ['{config}', '--amp', '--cfg-options', 'optim_wrapper.dtype=float16'], "16 bits are 'bf16'"),
        (TEST, ['{config}', '{config}', '--dtype', 'fp16'], "16 bits are 'bf16'"),
        (TRAIN, ['{config}', '--resume', 'lost.pth'], 'no checkpoint lost.pth'),
        (TEST, ['{config}', 'lost.pth'], 'no checkpoint lost.pth'),
        (TEST, ['{config}', '{config}', '--tta'], 'tta_pipeline'),
    ],
)
def test_mistakes_end_with_a_message(tmp_path, run, capsys, monkeypatch, script, args, message):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    config = write_config(tmp_path)
    with pytest.raises(SystemExit) as end:
        run(script, *[x.format(config=config) for x in args], '--work-dir', tmp_path / 'work')
    assert end.value.code == 1
    printed = capsys.readouterr().err
    assert 'Traceback' not in printed
    assert re.search(message, printed), printed


def test_script_of_mmsegmentation_trains_our_configs(tmp_path, run):
    script = tmp_path / 'their_train.py'
    shutil.copy(Path(mmseg.__file__).parent / '.mim' / 'tools' / 'train.py', script)
    config, work = write_config(tmp_path), tmp_path / 'work'
    run(script, config, '--work-dir', work, '--cfg-options', 'task_names=[normals]')
    assert meta(work / 'iter_4.pth')['tasks'] == ['normals']


def run_in_two_processes(script: str, *args) -> str:
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = str(free.getsockname()[1])
    env = dict(os.environ, CUDA_VISIBLE_DEVICES='', PORT=port, PYTHON=sys.executable, OMP_NUM_THREADS='1')
    command = ['bash', str(REPO / 'tools' / script), *map(str, args)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=240, cwd=args[-1])
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return done.stdout


@pytest.mark.slow
def test_two_processes_test(tmp_path, run):
    """Trainings of two are in test_several_machines.py."""
    config, work = write_config(tmp_path, images=3), tmp_path / 'work'
    run(TRAIN, config, '--work-dir', work, '--no-validate')
    run_in_two_processes(
        *('dist_test.sh', config, work / 'iter_4.pth', 2, '--show-dir', work / 'panels', '--work-dir', work)
    )
    assert len(list((work / 'panels').iterdir())) == 3  # an odd number over two processes


def test_mixed_precision_replaces_the_plain_wrapper_only():
    for given, wanted in (
        ({}, dict(type='AmpOptimWrapper', loss_scale='dynamic')),
        (dict(type='OptimWrapper', loss_scale=8), dict(type='AmpOptimWrapper', loss_scale=8)),
        (dict(type='AmpOptimWrapper'), dict(type='AmpOptimWrapper', loss_scale='dynamic')),
    ):
        cfg = Config(dict(optim_wrapper=given))
        _use_amp(cfg)
        assert cfg.optim_wrapper == wanted
    with pytest.raises(ValueError, match="of type 'OptimWrapper', but the config has 'ApexOptimWrapper'"):
        _use_amp(Config(dict(optim_wrapper=dict(type='ApexOptimWrapper'))))
    for scale in ({}, dict(auto_scale_lr=dict(base_batch_size=0))):
        with pytest.raises(ValueError, match='--auto-scale-lr needs'):
            train_model(Config(scale), auto_scale_lr=True)


def test_where_a_training_goes_on(tmp_path):
    def after(resume, **more):
        cfg = Config(dict(work_dir=str(tmp_path), load_from='start.pth', resume=False, **more))
        _set_resume(cfg, resume)
        return cfg.load_from, cfg.resume

    assert after(None) == after('auto') == ('start.pth', False)
    (tmp_path / 'iter_2.pth').touch()
    assert after(None) == ('start.pth', False)
    assert after('auto') == (None, True)
    assert after(str(tmp_path / 'iter_2.pth')) == (str(tmp_path / 'iter_2.pth'), True)


def test_what_a_test_needs_of_its_config():
    cfg = Config(dict(default_hooks=dict(visualization=dict(type='V')), model=dict(a=1), tta_model=dict(type='T')))
    _draw_all(cfg, True, 'panels', 0.5)
    hook = dict(type='V', draw=True, show=True, wait_time=0.5, out_dir='panels')
    assert cfg.default_hooks.visualization == hook
    with pytest.raises(ValueError, match='the config has none: add'):
        _draw_all(Config({}), True, None, 1)
    with pytest.raises(ValueError, match=r"needs \['tta_pipeline'\] in the config"):
        _use_tta(cfg)
    cfg.tta_pipeline, cfg.test_dataloader = [dict(type='P')], dict(dataset=dict(pipeline=[]))
    _use_tta(cfg)
    assert cfg.model == dict(type='T', module=dict(a=1))
    assert cfg.test_dataloader.dataset.pipeline == [dict(type='P')]


TASKS = TaskSet(
    dict(
        semseg=dict(type='SemSeg', out_channels=3),
        depth=dict(type='Depth'),
        height=dict(type='DenseRegression', out_channels=1),
        flow=dict(type='DenseRegression', out_channels=2),
    )
)


def test_predictions_in_the_form_of_the_labels(tmp_path):
    """Ids by their map, numbers in the reader's unit, and what it cannot hold in the task's own way."""
    readers = dict(
        semseg=[IdMapReader('a', id_map={7: 0, 9: 1, 11: 2})],
        depth=[ScaledReader('a', divisor=100, bits=16)],
        height=[NpyReader('a')],
        flow=[NpyReader('a', scale=0.5)],
        none=[],
    )
    for dataset in (
        SimpleNamespace(readers=readers),
        SimpleNamespace(dataset=SimpleNamespace(readers=readers)),
        SimpleNamespace(datasets=[SimpleNamespace(readers=readers), SimpleNamespace(readers={})]),
    ):
        encoders = file_encoders(dataset, TASKS)
        assert list(encoders) == ['semseg', 'depth', 'flow']  # arrays as they are have no codes
    assert file_encoders([1], TASKS) == {}
    flow = torch.arange(8.0).view(2, 2, 2)
    sample = MultiTaskDataSample(
        pred=PixelData(
            semseg=torch.tensor([[[0, 1], [2, 1]]]),
            depth=torch.tensor([[[1.0, 2], [3, 4]]]),
            height=torch.ones(1, 2, 2),
            flow=flow,
        )  # fmt: skip
    )
    files = save_predictions(sample, TASKS, tmp_path, 'x/a', encoders)
    assert {task: path.relative_to(tmp_path).as_posix() for task, path in files.items()} == dict(
        semseg='semseg/x/a.png', depth='depth/x/a.png', height='height/x/a.npy', flow='flow/x/a.npy'
    )
    assert cv2.imread(str(files['semseg']), -1).tolist() == [[7, 9], [11, 9]]
    assert cv2.imread(str(files['depth']), -1).tolist() == [[100, 200], [300, 400]]
    np.testing.assert_array_equal(np.load(files['flow']), 2 * flow.permute(1, 2, 0).numpy())
    assert list(save_predictions(sample, TASKS.subset(['depth']), tmp_path / 'b', 'a')) == ['depth']
    assert cv2.imread(str(tmp_path / 'b/depth/a.png'), -1).tolist() == [[1000, 2000], [3000, 4000]]
    sample.pred.depth[0, 0, 0] = 1e6  # beyond 16 bits: no other unit in a file of the same kind
    (far,) = save_predictions(sample, TASKS.subset(['depth']), tmp_path / 'd', 'a', encoders).values()
    assert (far.suffix, np.load(far).tolist()) == ('.npy', [[1e6, 2], [3, 4]])
    del sample.pred.depth
    assert 'depth' not in save_predictions(sample, TASKS, tmp_path / 'c', 'a')
