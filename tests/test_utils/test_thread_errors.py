import errno
import threading

import pytest

from mlore_mm.utils.thread_errors import shorten_disk_errors


@pytest.fixture
def said(monkeypatch):
    """Lines of the log."""
    lines = []
    monkeypatch.setattr('mlore_mm.utils.thread_errors.print_log', lambda text, *options: lines.append(text))
    return lines


@pytest.fixture
def others(monkeypatch):
    """What goes on to the hook that was there before."""
    seen = []
    monkeypatch.setattr(threading, 'excepthook', seen.append)
    shorten_disk_errors()
    shorten_disk_errors()  # once is enough
    return seen


def fail_in_thread(error):
    def run():
        raise error

    thread = threading.Thread(target=run, name='writer')
    thread.start()
    thread.join()


def test_a_full_disk_is_one_line(others, said):
    fail_in_thread(OSError(errno.ENOSPC, 'No space left on device', '/disk/events.1'))
    assert others == []
    line = 'Cannot write /disk/events.1: No space left on device. The thread writer, which wrote it, ends.'
    assert said == [line]


@pytest.mark.parametrize('error', [OSError(errno.EBADF, 'closed'), ValueError('wrong')], ids=['file', 'value'])
def test_mistakes_keep_their_traceback(others, said, error):
    fail_in_thread(error)
    assert [x.exc_value for x in others] == [error]
    assert said == []


def test_a_name_in_bytes_is_no_second_error(others, said):
    fail_in_thread(OSError(errno.ENOSPC, 'No space left on device', b'/none/events.1'))
    assert others == []
    assert said[0].startswith('Cannot write /none/events.1: No space')
