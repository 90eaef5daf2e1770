"""Errors of threads that write beside the training, such as TensorBoard's."""

import logging
import threading

from mmengine.logging import print_log

from mlore_mm.utils.whole_files import explain_disk


class DiskErrorsInOneLine:
    """Takes the place of ``threading.excepthook``: a full or read-only disk is one line instead of a traceback.

    The training itself meets the same error at the next value that it writes, and goes on without curves. All other
    errors go to the hook that was there before.
    """

    def __init__(self, before) -> None:
        self.before = before

    def __call__(self, args) -> None:
        told = explain_disk(args.exc_value) if isinstance(args.exc_value, OSError) else None
        if told is None:
            self.before(args)
            return
        name = args.thread.name if args.thread is not None else 'unknown'
        print_log(f'{told} The thread {name}, which wrote it, ends.', 'current', logging.WARNING)


def shorten_disk_errors() -> None:
    """Install the hook, once."""
    if not isinstance(threading.excepthook, DiskErrorsInOneLine):
        threading.excepthook = DiskErrorsInOneLine(threading.excepthook)
