"""What it does on a full disk is in test_full_disk.py."""

import logging

from mlore_mm.engine.log_file import PatientFileHandler


def test_it_writes_on_in_the_same_file_level_and_form(tmp_path):
    first = logging.FileHandler(tmp_path / 'a.log', mode='w')
    first.setLevel(logging.WARNING)
    first.setFormatter(logging.Formatter('%(levelname)s: %(message)s'))
    record = logging.makeLogRecord(dict(msg='one', levelname='WARNING', levelno=30))
    first.handle(record)
    first.close()
    second = PatientFileHandler.like(first)
    second.handle(record)
    second.close()
    assert (tmp_path / 'a.log').read_text() == 'WARNING: one\nWARNING: one\n'
    assert second.level == logging.WARNING
