"""Workers of a data loader, and the signals that schedulers send to every process."""

import os
import signal
import threading
from collections.abc import Callable


def start_worker(start: Callable | None, worker_id: int) -> None:
    """First thing in a worker: leave SIGTERM from outside to the parent, which saves first; then call ``start``.

    Slurm sends it to all processes of a job. A worker that ends by it ends its parent with an error, in the middle of
    an iteration. SIGTERM from the parent itself still ends the worker, as PyTorch and multiprocessing expect.
    """
    if hasattr(signal, 'sigwaitinfo'):  # not on macOS and Windows
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        threading.Thread(target=_obey_parent, args=(os.getppid(),), daemon=True).start()
    if start is not None:
        start(worker_id)


def _obey_parent(parent: int) -> None:
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != parent:
        pass
    os._exit(0)
