"""What a decoder of pictures says while it works.

libjpeg fills what is missing with grey and tells it on the standard error stream, where nobody reads it and no file is
named. There is no other way to ask it through OpenCV.
"""

import os
import sys
import tempfile
from collections.abc import Callable
from threading import Lock

_LOCK = Lock()  # the stream belongs to the process
_LINES = ('Corrupt JPEG data:', 'Inconsistent progression', 'Invalid SOS', 'Premature end of', 'Warning: unknown JFIF')
_LINES += ('Invalid Adobe', 'libpng ', 'Unsupported marker', 'Application transferred')
_HARMLESS = ('Warning: unknown JFIF', 'Invalid Adobe', 'libpng warning')


def call_and_listen(function: Callable, *args):
    """What ``function(*args)`` returns, and the decoder's message about damage, '' where there was none.

    Lines that are no decoder's go on to the standard error stream.
    """
    with _LOCK:
        sys.stderr.flush()
        try:
            saved = os.dup(2)
        except OSError:  # a process without the stream
            return function(*args), ''
        try:
            with tempfile.TemporaryFile() as file:
                os.dup2(file.fileno(), 2)
                try:
                    result = function(*args)
                finally:
                    os.dup2(saved, 2)
                file.seek(0)
                lines = file.read().decode('utf-8', 'replace').splitlines()
        finally:
            os.close(saved)
    others = [line for line in lines if line.strip() and not _of_decoder(line)]
    if others:
        print('\n'.join(others), file=sys.stderr)
    return result, next((line for line in lines if _of_decoder(line) and _tells_damage(line)), '')


def _of_decoder(line: str) -> bool:
    """libjpeg and libpng write bare lines, OpenCV's own decoders lines of its log: ``[ERROR:0@2.5] global ...``."""
    return line.startswith(_LINES) or (line.lstrip().startswith('[') and ('grfmt_' in line or 'imdecode' in line))


def _tells_damage(line: str) -> bool:
    return not line.startswith(_HARMLESS) and not line.lstrip().startswith(('[ WARN', '[ INFO', '[WARN', '[INFO'))
