import errno
import os

import pytest
import torch

from mlore_mm.engine.checkpoints import read_checkpoint, write_checkpoint


@pytest.mark.parametrize('name', ['a.pth', 'new/folder/a.pth'])
def test_it_is_there_as_a_whole(tmp_path, name):
    write_checkpoint(dict(state_dict=dict(a=torch.ones(2))), tmp_path / name)
    assert read_checkpoint(tmp_path / name)['state_dict']['a'].tolist() == [1, 1]
    assert [x.name for x in (tmp_path / name).parent.iterdir()] == ['a.pth']


@pytest.mark.parametrize('moment', ['fsync', 'replace'])
def test_a_write_that_fails_leaves_the_older_file_alone(tmp_path, monkeypatch, moment):
    path = tmp_path / 'a.pth'
    write_checkpoint(dict(state_dict=dict(a=torch.ones(2))), path)
    before = path.read_bytes()

    def fails(*args):
        raise OSError(errno.ENOSPC, 'No space left on device')

    monkeypatch.setattr(os, moment, fails)
    with pytest.raises(ValueError, match='Cannot write .*a.pth .*No space left'):
        write_checkpoint(dict(state_dict=dict(a=torch.zeros(2))), path)
    assert path.read_bytes() == before
    assert [x.name for x in tmp_path.iterdir()] == ['a.pth']


def test_others_may_read_it_as_any_new_file(tmp_path):
    write_checkpoint(dict(state_dict={}), tmp_path / 'a.pth')
    mask = os.umask(0)
    os.umask(mask)
    assert (tmp_path / 'a.pth').stat().st_mode & 0o777 == 0o666 & ~mask


def test_nothing_stays_of_what_cannot_be_written(tmp_path):
    with pytest.raises(AttributeError, match='lambda'):
        write_checkpoint(dict(a=lambda: 0), tmp_path / 'b.pth')
    assert list(tmp_path.iterdir()) == []
