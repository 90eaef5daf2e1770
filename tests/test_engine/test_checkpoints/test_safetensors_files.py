"""Weights as safetensors: written, read and refused like others."""

import subprocess
import sys
from contextlib import suppress

import pytest
import torch
from torch import nn

from mlore_mm.apis import init_model
from mlore_mm.engine.checkpoints import read_checkpoint, write_checkpoint
from mlore_mm.engine.checkpoints.safetensors_files import safetensors_bytes
from tests.test_engine.test_safe_checkpoint_hook import build
from tests.tiny import write_tiny

pytest.importorskip('safetensors')
META = dict(tasks=['semseg', 'depth'], iter=3, dataset_meta=dict(tasks=dict(semseg=dict(classes=('a', 'b'), unit=''))))


def test_what_is_written_is_read(tmp_path):
    weights = {**nn.BatchNorm2d(3).state_dict(), 'half': torch.ones(2, 3).half().t(), 'yes': torch.tensor([True])}
    write_checkpoint(dict(state_dict=weights, meta=dict(META, odd=object()), optimizer={}), tmp_path / 'a.safetensors')
    found = read_checkpoint(tmp_path / 'a.safetensors')
    assert found['meta']['tasks'] == META['tasks']
    assert found['meta']['dataset_meta']['tasks']['semseg']['classes'] == ['a', 'b']
    assert found['state_dict'].keys() == weights.keys()
    for name, x in weights.items():
        assert torch.equal(x, found['state_dict'][name])
        assert x.dtype == found['state_dict'][name].dtype


def test_files_of_others_have_no_meta(tmp_path):
    from safetensors.torch import save_file

    save_file({'module.a': torch.ones(2)}, tmp_path / 'a.safetensors')
    assert list(read_checkpoint(tmp_path / 'a.safetensors')['state_dict']) == ['a']


def test_damage_is_found(tmp_path):
    path = tmp_path / 'a.safetensors'
    write_checkpoint(dict(state_dict=dict(a=torch.ones(50)), meta=META), path)
    whole = path.read_bytes()
    for place in range(0, len(whole), 7):
        data = bytearray(whole)
        data[place] ^= 4
        path.write_bytes(data)
        with suppress(ValueError):  # without one it is in what is beside the weights
            assert torch.equal(read_checkpoint(path)['state_dict']['a'], torch.ones(50)), place
    for content in (whole[:-1], whole[:9], b'', b'text'):
        path.write_bytes(content)
        with pytest.raises(ValueError, match='a.safetensors cannot be read as safetensors'):
            read_checkpoint(path)


def test_a_model_is_tested_with_one_and_not_resumed(tmp_path):
    config, checkpoint = write_tiny(tmp_path)
    path = tmp_path / 'tiny.safetensors'
    write_checkpoint(read_checkpoint(checkpoint), path)
    first, second = init_model(config, checkpoint), init_model(config, path)
    assert all(
        torch.equal(a, b) for a, b in zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    )


def test_a_training_publishes_one(tmp_path):
    publish = dict(published_keys=['meta', 'state_dict'], published_suffix='.safetensors')
    build(tmp_path, **{f'default_hooks.checkpoint.{key}': value for key, value in publish.items()}).train()
    last, path = tmp_path / 'work/iter_4.pth', next((tmp_path / 'work').glob('iter_4-*.safetensors'))
    weights = read_checkpoint(last)['state_dict']
    found = read_checkpoint(path)
    assert all(torch.equal(x, found['state_dict'][name]) for name, x in weights.items())
    assert found['meta']['tasks'] == ['semseg', 'depth', 'normals']
    before = build(tmp_path, load_from=str(last)).test()
    assert build(tmp_path, load_from=str(path)).test() == before
    with pytest.raises(ValueError, match='lacks .*not its state'):
        build(tmp_path, load_from=str(path), resume=True).train()
    with pytest.raises(ValueError, match="published_suffix is '.pth' or"):
        build(tmp_path, **{'default_hooks.checkpoint.published_suffix': '.bin'})


def test_without_the_package_the_message_names_it(tmp_path):
    code = (
        'import sys; sys.modules["safetensors"] = None\n'
        'from mlore_mm.engine.checkpoints import read_checkpoint\n'
        'open("a.safetensors", "w").close()\n'
        'try: read_checkpoint("a.safetensors")\n'
        'except ValueError as error: print(error)'
    )
    done = subprocess.run([sys.executable, '-c', code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert 'a.safetensors needs the package safetensors: pip install safetensors' in done.stdout


def test_another_shape_of_the_same_bytes_is_seen(tmp_path):
    data = safetensors_bytes(dict(state_dict=dict(a=torch.arange(6.0).reshape(2, 3))), 'x')
    assert data.count(b'[2,3]') == 1
    path = tmp_path / 'turned.safetensors'
    path.write_bytes(data.replace(b'[2,3]', b'[3,2]'))
    with pytest.raises(ValueError, match=r'turned.safetensors was not read: its checksum does not fit'):
        read_checkpoint(path)
