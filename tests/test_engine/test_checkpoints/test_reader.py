import os
import pickle

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
