"""One training at a time in a work folder."""

import json
import os
import socket
import time
from contextlib import suppress
from pathlib import Path
from types import ModuleType

from mmengine.dist import broadcast_object_list, is_main_process
from mmengine.logging import print_log

try:
    import fcntl
except ImportError:  # Windows
    fcntl: ModuleType | None = None

NAME = '.training_lock'


class FolderLock:
    """Held from the beginning of a training to its end, whatever that is, by the main process.

    The system holds the lock for an open file of this process and takes it away when the process is gone, so that a
    training that was killed leaves none. The file says who is there, for the message to others. On file systems that
    know no locks, a process of this machine that the file names is looked for; others are not.
    """

    def __init__(self, folder: str | Path) -> None:
        self.path = Path(folder) / NAME
        self._file = None

    def __enter__(self) -> 'FolderLock':
        """All processes call it.

        Raises:
            ValueError: Another training is at work in the folder.
        """
        answer = [None]
        if is_main_process():
            try:
                self._take()
            except (ValueError, OSError) as error:
                answer[0] = str(error)
        broadcast_object_list(answer)
        if answer[0]:
            raise ValueError(answer[0])
        return self

    def __exit__(self, *error) -> None:
        if self._file is not None:
            self.path.unlink(missing_ok=True)
            self._file.close()  # which gives the lock back
            self._file = None

    def _take(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        while True:
            file = open(self.path, 'a+b', buffering=0)  # noqa: SIM115  (open as long as the lock is held)
            try:
                known = _lock(file)
            except (BlockingIOError, PermissionError) as error:
                holder = _read(file)
                file.close()
                raise ValueError(self._message(holder)) from error
            if _same_file(file, self.path):
                break
            file.close()  # the other training ended in between, and its file is gone
        holder = _read(file)
        if not known and holder.get('host') == socket.gethostname() and _is_alive(holder.get('pid')):
            file.close()
            raise ValueError(self._message(holder))
        if holder:
            print_log(f'A training of {_who(holder)} ended in this folder without saying so.', 'current')
        self._file = file
        started = time.strftime('%Y-%m-%d %H:%M:%S')
        with suppress(OSError):  # on a full disk the lock has no name, but is one
            file.truncate(0)
            file.write(json.dumps(dict(host=socket.gethostname(), pid=os.getpid(), started=started)).encode())

    def _message(self, holder: dict) -> str:
        return (
            f'Another training is at work in {self.path.parent}: {_who(holder)}. Wait for it, end it, or give another '
            f'folder (--work-dir). Two would write over each other.'
        )


def _read(file) -> dict:
    """Who is there. From the open file: closing a second one of this process would give its lock back."""
    try:
        file.seek(0)
        holder = json.loads(file.read())
    except (OSError, ValueError):
        return {}
    return holder if isinstance(holder, dict) else {}


def _lock(file) -> bool:
    """Whether the system gave a lock; False where it has none to give.

    Of a process and not of an open file, so that a loader's workers do not hold it when their parent was killed.
    """
    if fcntl is None:
        return False
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        raise
    except OSError:
        return False
    return True


def _same_file(file, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.stat(path))
    except FileNotFoundError:
        return False


def _is_alive(pid) -> bool:
    if not isinstance(pid, int) or pid <= 0 or pid == os.getpid():
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _who(holder: dict) -> str:
    if not holder:
        return 'a process that does not say which'
    return f'process {holder.get("pid")} on {holder.get("host")}, since {holder.get("started")}'
