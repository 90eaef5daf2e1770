import os
import pickle
import zipfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import numpy as np
import pytest
import torch

from mlore_mm.engine.checkpoints import read_checkpoint


class Command:
    """What a malicious checkpoint looks like: reading it runs a command."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_weights_alone_and_with_what_a_runner_adds(tmp_path):
    weights = dict(a=torch.ones(2))
    torch.save(weights, tmp_path / 'bare.pth')
    assert read_checkpoint(tmp_path / 'bare.pth')['state_dict'].keys() == {'a'}
    torch.save(dict(state_dict=weights, meta=dict(iter=3, best=np.float64(1.5))), tmp_path / 'full.pth')
    assert read_checkpoint(tmp_path / 'full.pth')['meta'] == dict(iter=3, best=1.5)


@pytest.mark.parametrize('zipped', [True, False])
def test_code_in_a_checkpoint_is_not_run(tmp_path, zipped):
    trap, path = tmp_path / 'trap', tmp_path / 'a.pth'
    torch.save(dict(state_dict={}, meta=Command(trap)), path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(ValueError, match=r'was not read.*mkdir'):
        read_checkpoint(path)
    assert not trap.exists()


def test_what_is_no_checkpoint(tmp_path):
    torch.save(dict(a=torch.ones(100)), tmp_path / 'cut.pth')
    (tmp_path / 'cut.pth').write_bytes((tmp_path / 'cut.pth').read_bytes()[:200])
    (tmp_path / 'text.pth').write_text('hello')
    (tmp_path / 'empty.pth').touch()
    torch.save(dict(epoch=3), tmp_path / 'none.pth')
    (tmp_path / 'list.pth').write_bytes(pickle.dumps([1, 2]))
    for name in ('cut', 'text', 'empty', 'none', 'list', 'lost'):
        with pytest.raises(ValueError, match=f'{name}.pth'):
            read_checkpoint(tmp_path / f'{name}.pth')


@pytest.fixture
def served(tmp_path, monkeypatch):
    """A folder, and the address under which a server gives out its files."""
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'hub'))
    (tmp_path / 'files').mkdir()
    handler = partial(Quiet, directory=str(tmp_path / 'files'))
    with ThreadingHTTPServer(('127.0.0.1', 0), handler) as server:
        Thread(target=partial(server.serve_forever, poll_interval=0.01), daemon=True).start()
        yield tmp_path / 'files', f'http://127.0.0.1:{server.server_port}'
        server.shutdown()


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


def test_code_behind_an_address_is_not_run(served, tmp_path):
    folder, address = served
    torch.save(dict(state_dict=dict(a=torch.ones(2))), folder / 'good.pth')
    torch.save(dict(state_dict={}, meta=Command(tmp_path / 'trap')), folder / 'evil.pth')
    assert read_checkpoint(f'{address}/good.pth')['state_dict']['a'].tolist() == [1, 1]
    with pytest.raises(ValueError, match=r'evil.pth was not read.*mkdir'):
        read_checkpoint(f'{address}/evil.pth')
    assert not (tmp_path / 'trap').exists()


def test_a_file_with_another_hash_than_its_name_is_not_taken(served):
    folder, address = served
    torch.save(dict(a=torch.ones(2)), folder / 'vit-00000000.pth')
    with pytest.raises(ValueError, match='cannot be downloaded: invalid hash'):
        read_checkpoint(f'{address}/vit-00000000.pth')


def test_compressed_archives_are_not_read(tmp_path):
    torch.save(dict(a=torch.zeros(100)), tmp_path / 'a.pth')
    with (
        zipfile.ZipFile(tmp_path / 'a.pth') as plain,
        zipfile.ZipFile(tmp_path / 'b.pth', 'w', zipfile.ZIP_DEFLATED) as packed,
    ):
        for name in plain.namelist():
            packed.writestr(name, plain.read(name))
    with pytest.raises(ValueError, match='compressed'):
        read_checkpoint(tmp_path / 'b.pth')


def test_every_value_has_to_be_a_tensor(tmp_path):
    torch.save(dict(state_dict=dict(a=torch.zeros(1), b=3)), tmp_path / 'a.pth')
    with pytest.raises(ValueError, match="a int as weight 'b', where a tensor was expected"):
        read_checkpoint(tmp_path / 'a.pth')
