import argparse
import errno
import os

import pytest
from torch.utils.data import DataLoader, Dataset

from mlore_mm.apis.training.config import (
    _message,
    add_common_options,
    check_checkpoint,
    load_config,
    set_local_rank,
    user_errors,
)
from tests.shared import REPO


class Broken(Dataset):
    def __len__(self):
        return 1

    def __getitem__(self, index):
        raise ValueError('data/mine/masks/a.png is empty.\nWrite it again.')


@pytest.mark.parametrize('workers', [0, 1])
def test_a_mistake_is_said_in_its_own_words(capfd, monkeypatch, workers):
    monkeypatch.delenv('MLORE_MM_TRACEBACK', raising=False)
    with pytest.raises(SystemExit) as end, user_errors():
        list(DataLoader(Broken(), num_workers=workers))
    assert end.value.code == 1
    error = capfd.readouterr().err
    assert 'error: data/mine/masks/a.png is empty.\nWrite it again.\n(MLORE_MM_TRACEBACK=1 shows' in error
    assert 'Traceback (most' not in error


def test_the_traceback_is_kept_on_request(monkeypatch):
    monkeypatch.setenv('MLORE_MM_TRACEBACK', '1')
    with pytest.raises(ValueError, match='worker process 0'), user_errors():
        list(DataLoader(Broken(), num_workers=1))


def test_the_message_of_a_worker_is_that_of_its_error():
    assert _message(ValueError('Caught ValueError in DataLoader worker\nTraceback\nValueError: a\nb \n')) == 'a\nb'
    assert _message(ValueError('it says:\nValueError: a')) == 'it says:\nValueError: a'


@pytest.mark.parametrize(
    ('error', 'said'),
    [
        (FileNotFoundError('lost.txt'), 'error: lost.txt'),
        (OSError(errno.ENOSPC, 'No space left on device', 'a.pth'), 'No space left on device'),
    ],
)
def test_disks_and_lost_files_end_it_with_a_line(capsys, monkeypatch, error, said):
    monkeypatch.delenv('MLORE_MM_TRACEBACK', raising=False)
    with pytest.raises(SystemExit) as end, user_errors():
        raise error
    assert end.value.code == 1
    assert said in capsys.readouterr().err


@pytest.mark.parametrize('error', [KeyError, ConnectionResetError])
def test_mistakes_of_ours_keep_their_traceback(error):
    with pytest.raises(error), user_errors():
        raise error('x')


def test_the_work_folder(tmp_path):
    path = tmp_path / 'mine.py'
    path.write_text('model = dict()')
    assert load_config(str(path)).work_dir == 'work_dirs/mine'
    assert load_config(str(path), launcher='slurm').launcher == 'slurm'
    path.write_text("model = dict()\nwork_dir = 'here'")
    cfg = load_config(str(path))
    assert (cfg.work_dir, cfg.launcher) == ('here', 'none')
    assert load_config(str(path), work_dir='there').work_dir == 'there'
    with pytest.raises(ValueError, match='no config file nowhere.py'):
        load_config('nowhere.py')


def test_checkpoints_are_files_or_addresses():
    for path in ('https://somewhere/a.pth', str(REPO / 'README.md')):
        assert check_checkpoint(path) == path
    with pytest.raises(ValueError, match='no checkpoint lost.pth'):
        check_checkpoint('lost.pth')


def test_options_of_launchers(monkeypatch):
    parser = argparse.ArgumentParser()
    add_common_options(parser)
    plain = parser.parse_args([])
    assert (plain.launcher, plain.local_rank, plain.tasks, plain.cfg_options, plain.work_dir) == (
        'none',
        0,
        *[None] * 3,
    )
    args = parser.parse_args(['--local-rank', '3', '--launcher', 'mpi', '--tasks', 'a', 'b'])
    assert (args.local_rank, args.launcher, args.tasks) == (3, 'mpi', ['a', 'b'])
    monkeypatch.delenv('LOCAL_RANK', raising=False)
    monkeypatch.setitem(os.environ, 'LOCAL_RANK', '1')
    set_local_rank(3)
    assert os.environ['LOCAL_RANK'] == '1'
    del os.environ['LOCAL_RANK']
    set_local_rank(3)
    assert os.environ['LOCAL_RANK'] == '3'
