"""A training on a full disk is in test_full_disk.py."""

import logging
import warnings

import pytest

from mlore_mm.engine.log_file import PatientFileHandler, ShortConsole
from mlore_mm.registry import RUNNERS
from tests.test_engine.test_runner import load


def test_it_writes_on_in_the_same_file_level_and_form(tmp_path):
    first = logging.FileHandler(tmp_path / 'a.log', mode='w')
    first.setLevel(logging.WARNING)
    first.addFilter(lambda record: 'secret' not in record.getMessage())
    first.setFormatter(logging.Formatter('%(levelname)s: %(message)s'))
    record = logging.makeLogRecord(dict(msg='one', levelname='WARNING', levelno=30))
    first.handle(record)
    first.close()
    second = PatientFileHandler.like(first)
    second.handle(record)
    second.handle(logging.makeLogRecord(dict(msg='secret', levelname='WARNING', levelno=30)))
    second.close()
    assert (tmp_path / 'a.log').read_text() == 'WARNING: one\nWARNING: one\n'
    assert second.level == logging.WARNING


@pytest.mark.parametrize(
    ('text', 'shown'),
    [
        ('\n-----\nSystem environment:\n    a: b', False),
        ('Config:\na = 1\n', False),
        ('Hooks will be executed in the following order:\nbefore_run:\n', False),
        ('"FileClient" will be deprecated in future. Please use io functions in', False),
        ('"HardDiskBackend" is the alias of "LocalBackend" and the former will be deprecated in future.', False),
        ('task  headline\n-------\nsemseg  mIoU', True),
        ('Iter(train) [1/2]', True),
        ('Config: none', True),
    ],
)
def test_what_fills_screens_stays_off_the_console(text, shown):
    assert ShortConsole().filter(logging.makeLogRecord(dict(msg=text))) is shown


def test_a_training_says_it_in_its_file_only_and_warns_of_nothing(tmp_path, capfd):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always')
        runner = RUNNERS.build(load(tmp_path))
        runner.train()
    shown = capfd.readouterr()
    log = next((tmp_path / 'work' / runner.timestamp).glob('*.log')).read_text()
    for text in ('System environment:', 'Config:\n', 'Hooks will be executed'):
        assert text in log
        assert text not in shown.out + shown.err
    assert not [x for x in caught if 'optimizer.step' in str(x.message)]


def test_what_cannot_be_written_is_said_once(tmp_path, capsys):
    class Full:
        def write(self, text):
            raise OSError(28, 'No space left on device')

    handler, record = PatientFileHandler(tmp_path / 'a.log'), logging.makeLogRecord(dict(msg='one'))
    handler.stream.close()
    handler.stream = Full()
    handler.handle(record)
    handler.handle(record)
    assert (
        capsys.readouterr().err == f'warning: the log {tmp_path}/a.log cannot be written to: No space left on device\n'
    )
    handler.handle(logging.makeLogRecord(dict(msg='%d', args=('x',))))  # a mistake of ours is no full disk
    assert 'Logging error' in capsys.readouterr().err


def test_it_closes_on_a_full_disk(tmp_path):
    handler = PatientFileHandler(tmp_path / 'a.log')
    handler.stream.close()

    class Full:
        def flush(self):
            raise OSError(28, 'No space left on device')

        close = flush

    handler.stream = Full()
    handler.close()
    assert handler.stream is None
