import hashlib
import os
import pickle
import zipfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import numpy as np
import pytest
import torch
from torch import nn

from mlore_mm.engine.checkpoints import read_checkpoint, refusal, weights_only
from mlore_mm.engine.checkpoints.reader import plain_weights


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


def test_weights_under_the_name_model(tmp_path):
    torch.save(dict(model=dict(a=torch.ones(1)), epoch=3), tmp_path / 'a.pth')
    found = read_checkpoint(tmp_path / 'a.pth')
    assert (list(found), list(found['state_dict'])) == (['state_dict'], ['a'])


def test_a_download_is_kept_and_its_hash_compared(served, tmp_path):
    folder, address = served
    torch.save(dict(a=torch.ones(2)), folder / 'a.pth')
    digest = hashlib.sha256((folder / 'a.pth').read_bytes()).hexdigest()[:8]
    (folder / 'a.pth').rename(folder / f'a-{digest}.pth')
    url = f'{address}/a-{digest}.pth'
    read_checkpoint(f'{url}?token=1')
    (folder / f'a-{digest}.pth').unlink()
    assert read_checkpoint(url)['state_dict']['a'].tolist() == [1, 1]
    assert [path.name for path in (tmp_path / 'hub').rglob('*.pth')] == [f'a-{digest}.pth']
    with pytest.raises(ValueError, match='b.pth cannot be downloaded: '):
        read_checkpoint(f'{address}/b.pth')


@pytest.mark.parametrize('before', [None, '0'])
def test_the_switch_is_as_before_afterwards(monkeypatch, before):
    name = 'TORCH_FORCE_WEIGHTS_ONLY_LOAD'
    monkeypatch.delenv(name, raising=False)
    if before is not None:
        monkeypatch.setenv(name, before)
    with weights_only('x'):
        assert os.environ[name] == '1'
    assert os.environ.get(name) == before


def test_what_is_told_of_a_file_that_is_not_read():
    assert "a.pth was not read: it holds 'os.mkdir', which" in refusal(
        'a.pth', pickle.UnpicklingError('GLOBAL os.mkdir')
    )
    assert 'it holds more than weights and plain values, or is damaged' in refusal('a.pth', pickle.UnpicklingError('x'))


def test_names_without_the_prefixes_of_wrappers():
    weights = nn.DataParallel(nn.BatchNorm1d(2)).state_dict()
    weights['norm.bias'] = weights['module.bias']
    found = plain_weights(weights, 'x.pth')
    assert list(found) == ['weight', 'bias', 'running_mean', 'running_var', 'num_batches_tracked', 'norm.bias']
    assert nn.BatchNorm1d(2).load_state_dict(found, strict=False).missing_keys == []
    assert found._metadata[''] == dict(version=2)
