import errno
import json
import os
import signal
import socket
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest

from mlore_mm.engine import folder_lock
from mlore_mm.engine.folder_lock import NAME, FolderLock, _is_alive, _lock, _same_file, _who
from mlore_mm.registry import RUNNERS
from tests.test_engine.test_runner import load

HOLD = """
import sys, time
from mlore_mm.engine.folder_lock import FolderLock
with FolderLock(sys.argv[1]):
    print('held', flush=True)
    time.sleep(60)
"""


@pytest.fixture
def other(tmp_path):
    """Another process that has the folder."""
    process = subprocess.Popen([sys.executable, '-c', HOLD, str(tmp_path / 'work')], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == 'held\n'
    yield process
    process.kill()
    process.wait()


def test_the_second_training_is_told_who_is_there_and_changes_nothing(tmp_path, other):
    work = tmp_path / 'work'
    (work / '.iter_3.pth.partial').write_text('being written')
    message = f'Another training is at work in .*work: process {other.pid} on {socket.gethostname()}, since 20'
    with pytest.raises(ValueError, match=message):
        RUNNERS.build(load(tmp_path)).train()
    assert (work / '.iter_3.pth.partial').exists()
    assert not list(work.glob('*.pth'))
    other.send_signal(signal.SIGKILL)  # leaves its file, and no lock
    other.wait()
    RUNNERS.build(load(tmp_path)).train()
    assert (work / 'iter_4.pth').exists()
    assert not (work / NAME).exists()


def test_it_is_given_back_at_every_end(tmp_path):
    class Stop(BaseException):
        pass

    for error in (ValueError, KeyboardInterrupt, SystemExit, Stop):
        with pytest.raises(error):
            hold(tmp_path, error)
        assert not (tmp_path / NAME).exists()


def hold(folder, error):
    with FolderLock(folder):
        assert json.loads((folder / NAME).read_text())['pid'] == os.getpid()
        raise error


@pytest.mark.parametrize('content', ['', 'text', '[1]', json.dumps(dict(host='gone', pid=1, started='then'))])
def test_a_file_without_a_lock_is_a_leftover(tmp_path, content):
    (tmp_path / NAME).write_text(content)
    with FolderLock(tmp_path):
        assert json.loads((tmp_path / NAME).read_text())['pid'] == os.getpid()


def test_where_there_are_no_locks_a_process_of_this_machine_counts(tmp_path, monkeypatch):
    monkeypatch.setattr(folder_lock, 'fcntl', None)
    process = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])
    holder = dict(host=socket.gethostname(), pid=process.pid, started=time.strftime('%H:%M'))
    (tmp_path / NAME).write_text(json.dumps(holder))
    with pytest.raises(ValueError, match=f'process {process.pid} on'), FolderLock(tmp_path):
        pass
    process.kill()
    process.wait()
    with FolderLock(tmp_path):
        pass


def test_a_start_that_writes_over_an_older_training_says_so(tmp_path):
    RUNNERS.build(load(tmp_path)).train()
    again = RUNNERS.build(load(tmp_path, **{'train_cfg.max_iters': 1}))
    again.train()
    log = next((tmp_path / 'work' / again.timestamp).glob('*.log')).read_text()
    assert 'holds checkpoints of an earlier training, such as iter_4.pth' in log
    assert '--resume' in log


def test_who_is_alive_and_who_is_named():
    ended = subprocess.Popen([sys.executable, '-c', ''])
    ended.wait()
    assert [_is_alive(pid) for pid in (ended.pid, os.getpid(), 0, -1, None, '1', os.getppid())] == [False] * 6 + [True]
    assert _who({}) == 'a process that does not say which'
    assert _who(dict(host='h', pid=3, started='then')) == 'process 3 on h, since then'


@pytest.mark.parametrize(('code', 'known'), [(errno.ENOLCK, False), (None, True)])
def test_a_file_system_without_locks(tmp_path, monkeypatch, code, known):
    def lockf(file, how):
        assert how == 6  # exclusive, and without waiting
        if code:
            raise OSError(code, 'none')

    monkeypatch.setattr(folder_lock, 'fcntl', SimpleNamespace(lockf=lockf, LOCK_EX=2, LOCK_NB=4))
    with open(tmp_path / 'a', 'w') as file:
        assert _lock(file) is known
        assert _same_file(file, tmp_path / 'a')
        (tmp_path / 'a').unlink()
        assert not _same_file(file, tmp_path / 'a')
        (tmp_path / 'a').touch()
        assert not _same_file(file, tmp_path / 'a')


def test_other_processes_of_a_training_lock_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(folder_lock, 'is_main_process', lambda: False)
    with FolderLock(tmp_path / 'a'):
        assert list(tmp_path.iterdir()) == []


def test_an_end_without_a_word_is_told(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(folder_lock, 'print_log', lambda text, *more: said.append(text))
    for content, told in (('', 0), (json.dumps(dict(host='gone', pid=1, started='then')), 1)):
        (tmp_path / NAME).write_text(content)
        with FolderLock(tmp_path):
            assert len(said) == told
            assert json.loads((tmp_path / NAME).read_text())['host'] == socket.gethostname()
    assert said == ['A training of process 1 on gone, since then ended in this folder without saying so.']
