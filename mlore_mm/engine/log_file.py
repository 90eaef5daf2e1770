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
    """Keeps what fills screens at every start off the console: environment, config, and the list of hooks.

    All of it is in the log's file.
    """

    LONG = ('System environment:', 'Config:', 'Hooks will be executed in the following order:')

    def filter(self, record: logging.LogRecord) -> bool:
        text = record.getMessage().lstrip('-\n ')
        return not (text.startswith(self.LONG) and '\n' in text)
