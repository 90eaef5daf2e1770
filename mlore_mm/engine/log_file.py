"""What goes to the file of the log, and what to the console."""

import logging
import sys


class PatientFileHandler(logging.FileHandler):
    """Says once on the console that a line could not be written, as on a full disk, and goes on.

    Python's own prints a traceback for every line.
    """

    _told = False

    @classmethod
    def like(cls, handler: logging.FileHandler) -> 'PatientFileHandler':
        """One for the same file, level and form."""
        new = cls(handler.baseFilename, mode='a')
        new.setLevel(handler.level)
        new.setFormatter(handler.formatter)
        for rule in handler.filters:
            new.addFilter(rule)
        return new

    def handleError(self, record: logging.LogRecord) -> None:
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            super().handleError(record)
        elif not self._told:
            self._told = True
            print(f'warning: the log {self.baseFilename} cannot be written to: {error.strerror}', file=sys.stderr)

    def close(self) -> None:
        try:
            super().close()
        except OSError:  # what was not written yet; told before
            self.stream = None


class ShortConsole(logging.Filter):
    """Keeps off the console what fills screens at every start, and what mmengine tells itself.

    That is environment, config, and the list of hooks; and that its checkpoint hook uses old parts of mmengine. All of
    it is in the log's file.
    """

    LONG = ('System environment:', 'Config:', 'Hooks will be executed in the following order:')
    TO_ITSELF = ('"FileClient" will be deprecated', '"HardDiskBackend" is the alias')

    def filter(self, record: logging.LogRecord) -> bool:
        text = record.getMessage().lstrip('-\n ')
        if text.startswith(self.TO_ITSELF):
            return False
        return not (text.startswith(self.LONG) and '\n' in text)
