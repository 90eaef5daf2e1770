"""Disks without room or leave to write, anywhere beside checkpoints: one line, and no training ends by a curve."""

import errno
import logging
import os
import subprocess
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.structures import PixelData
from mmengine.visualization import LocalVisBackend

from mlore_mm.apis.inference.save_predictions import save_predictions
from mlore_mm.apis.training.config import user_errors
from mlore_mm.engine.log_file import PatientFileHandler
from mlore_mm.registry import RUNNERS
from mlore_mm.structures import MultiTaskDataSample
from mlore_mm.tasks import TaskSet
from mlore_mm.utils.whole_files import check_writable, write_array, write_picture, written_by_others
from tests.test_engine.test_runner import load

FULL = OSError(errno.ENOSPC, 'No space left on device', '/disk/scalars.json')


def full(*args, **options):
    raise FULL


def test_a_training_goes_on_without_its_curves(tmp_path, monkeypatch):
    for name in ('add_scalar', 'add_scalars', 'add_image', 'add_config', 'close'):
        monkeypatch.setattr(LocalVisBackend, name, full)
    runner = RUNNERS.build(load(tmp_path, **{'default_hooks.logger.interval': 1}))
    runner.train()
    assert (tmp_path / 'work/iter_4.pth').exists()
    log = next((tmp_path / 'work' / runner.timestamp).glob('*.log')).read_text()
    assert log.count('Curves and pictures cannot be written') == 1
    assert 'Cannot write /disk/scalars.json: No space left on device' in log


def test_a_training_goes_on_without_its_notes(tmp_path, monkeypatch):
    replace = os.replace

    def only_checkpoints(source, target):
        if not str(target).endswith('.pth') and '.writable' not in str(target):
            raise OSError(errno.ENOSPC, 'No space left on device')
        replace(source, target)

    monkeypatch.setattr(os, 'replace', only_checkpoints)
    RUNNERS.build(load(tmp_path)).train()
    assert (tmp_path / 'work/iter_4.pth').exists()
    assert not (tmp_path / 'work/last_checkpoint').exists()


def test_a_log_that_cannot_be_written_is_told_once(tmp_path, capsys):
    logger = logging.Logger('full')
    logger.addHandler(PatientFileHandler.like(logging.FileHandler(tmp_path / 'a.log')))
    logger.handlers[0].stream = Stream()
    for i in range(3):
        logger.warning('line %d', i)
    logger.handlers[0].close()
    assert capsys.readouterr().err.count('a.log cannot be written to: No space left on device') == 1


class Stream:
    write = flush = close = full


def test_the_runner_logs_so(tmp_path):
    runner = RUNNERS.build(load(tmp_path))
    assert [type(x) for x in runner.logger.handlers if isinstance(x, logging.FileHandler)] == [PatientFileHandler]


def test_pictures_and_arrays_are_whole_or_not_there(tmp_path, monkeypatch):
    write_picture(tmp_path / 'new/a.png', np.zeros((4, 4, 3), np.uint8))
    write_array(tmp_path / 'a.npy', np.arange(3.0))
    assert np.load(tmp_path / 'a.npy').tolist() == [0, 1, 2]
    sample, tasks = MultiTaskDataSample(), TaskSet(dict(depth=dict(type='Depth'), normals=dict(type='SurfaceNormals')))
    sample.pred = PixelData(depth=torch.ones(1, 3, 4), normals=torch.ones(3, 3, 4))
    save_predictions(sample, tasks, tmp_path / 'out', 'x')
    monkeypatch.setattr(os, 'replace', full)
    for write in (
        lambda: write_picture(tmp_path / 'b.png', np.zeros((4, 4), np.uint8)),
        lambda: write_array(tmp_path / 'b.npy', np.arange(3.0)),
        lambda: save_predictions(sample, tasks, tmp_path / 'out', 'y'),
    ):
        with pytest.raises(ValueError, match=r'Cannot write .*/(b|y)\.(png|npy) .*No space left'):
            write()
    left = sorted(path.name for path in tmp_path.rglob('*') if path.is_file())
    assert left == ['a.npy', 'a.png', 'x.npy', 'x.png'] or left == ['a.npy', 'a.png', 'x.npy', 'x.npy']


@pytest.mark.parametrize('number', [errno.ENOSPC, errno.EROFS, errno.EDQUOT, errno.EACCES])
def test_command_lines_end_with_one_line(number, capsys):
    with pytest.raises(SystemExit), user_errors():
        raise OSError(number, os.strerror(number), '/disk/a.png')
    told = capsys.readouterr().err.strip().splitlines()
    assert told[0] == f'error: Cannot write /disk/a.png: {os.strerror(number)}.'
    with pytest.raises(OSError, match='odd'), user_errors():  # mistakes of a program keep their traceback
        raise OSError(errno.EBADF, 'odd')


def test_a_folder_that_cannot_be_written_to_is_found_before_anything_is_read(tmp_path, monkeypatch):
    (tmp_path / 'work').write_text('a file')
    with pytest.raises(ValueError, match='Cannot write .*work'):
        RUNNERS.build(load(tmp_path))
    (tmp_path / 'work').unlink()
    check_writable(tmp_path / 'work')
    assert list((tmp_path / 'work').iterdir()) == []


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 300 kB."""
    folder = tmp_path / 'small'
    folder.mkdir()
    command = ['mount', '-t', 'tmpfs', '-o', 'size=300k', 'tmpfs', str(folder)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True).returncode:
        pytest.skip('file systems cannot be mounted here')
    yield folder
    subprocess.run(['umount', '-l', str(folder)], check=True)


def test_a_disk_that_really_fills_up(tmp_path, small_disk):
    """Logs, curves and notes on it; checkpoints are far away."""
    options = {'work_dir': str(small_disk / 'work'), 'default_hooks.checkpoint.out_dir': str(tmp_path / 'far')}
    runner = RUNNERS.build(load(tmp_path, **options, **{'default_hooks.logger.interval': 1}))
    with open(small_disk / 'fill', 'wb', buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))
    runner.train()
    assert Path(tmp_path / 'far/work/iter_4.pth').exists()
    with pytest.raises(ValueError, match='Cannot write .*No space left'):
        RUNNERS.build(load(tmp_path, work_dir=str(small_disk / 'other')))


def test_writers_of_others_leave_nothing_behind(tmp_path):
    path = tmp_path / 'new' / 'a.pt2'

    def write(text, error=None, several=False):
        with written_by_others(path, several) as file:
            assert file != path
            assert (file.name == path.name) == several
            file.write_text(text)
            if several:
                file.with_name('a.pt2.data').write_text(f'more {text}')
            if error:
                raise error

    write('old')
    with pytest.raises(ValueError, match='Cannot write .*a.pt2: No space left on device; .* are free there'):
        write('half', FULL)
    with pytest.raises(ValueError, match='Cannot write .*a.pt2: PytorchStreamWriter failed;'):
        write('half', RuntimeError('PytorchStreamWriter failed'))
    assert [(x.name, x.read_text()) for x in path.parent.iterdir()] == [('a.pt2', 'old')]
    with pytest.raises(ValueError, match='Cannot write'):
        write('half', FULL, several=True)
    with pytest.raises(KeyError):  # of another kind than disks have
        write('half', KeyError('odd'), several=True)
    assert [(x.name, x.read_text()) for x in path.parent.iterdir()] == [('a.pt2', 'old')]
    write('new', several=True)
    found = {x.name: x.read_text() for x in path.parent.iterdir()}
    assert found == {'a.pt2': 'new', 'a.pt2.data': 'more new'}
