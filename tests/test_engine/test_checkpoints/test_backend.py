import os

import pytest
import torch
from mmengine.fileio import get_file_backend
from mmengine.runner import save_checkpoint

from mlore_mm.engine.checkpoints import KeepingBackend


def test_mmengine_writes_a_checkpoint_whole(tmp_path, monkeypatch):
    path, names = tmp_path / 'new' / 'a.pth', []
    replace = os.replace

    def look(source, target):
        names.append(sorted(x.name for x in path.parent.iterdir()))
        replace(source, target)

    monkeypatch.setattr(os, 'replace', look)
    save_checkpoint(dict(state_dict=dict(a=torch.ones(3))), str(path), backend_args=dict(backend='whole_files'))
    assert names == [['.a.pth.partial']]
    assert [x.name for x in path.parent.iterdir()] == ['a.pth']
    assert torch.load(path, weights_only=True)['state_dict']['a'].tolist() == [1, 1, 1]


def test_a_write_that_fails_leaves_the_older_file(tmp_path, monkeypatch):
    backend = get_file_backend(backend_args=dict(backend='whole_files'))
    path = tmp_path / 'a.pth'
    backend.put(b'older', path)

    def fails(handle):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(os, 'fsync', fails)
    with pytest.raises(ValueError, match='No space left on device'):
        backend.put(b'newer', path)
    assert path.read_bytes() == b'older'


def test_what_is_to_be_removed_is_kept_and_noted(tmp_path):
    (tmp_path / 'a').write_text('here')
    backend = KeepingBackend(get_file_backend(backend_args=dict(backend='whole_files')))
    backend.remove(tmp_path / 'a')
    backend.rmtree(f'{tmp_path}/b')
    assert backend.removed == [str(tmp_path / 'a'), f'{tmp_path}/b']
    assert backend.get_text(tmp_path / 'a') == 'here'
