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
