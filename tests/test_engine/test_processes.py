from datetime import timedelta

import pytest
from mmengine.dist import get_world_size
from torch import nn

from mlore_mm.engine.processes import init_gloo, synchronise_batch_norms
from mlore_mm.models.ops import PortableSyncBatchNorm


def test_without_an_accelerator_other_launchers_are_refused():
    with pytest.raises(ValueError, match=r"started with torchrun .*but the launcher is 'slurm'"):
        init_gloo('slurm', {})


def test_what_torchrun_says_is_enough(monkeypatch):
    import socket

    import torch.distributed as dist

    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    for name, value in dict(RANK=0, WORLD_SIZE=1, MASTER_ADDR='127.0.0.1', MASTER_PORT=port).items():
        monkeypatch.setenv(name, str(value))
    init_gloo('pytorch', dict(timeout=20))
    try:
        assert (dist.get_backend(), get_world_size()) == ('gloo', 1)
    finally:
        dist.destroy_process_group()


@pytest.mark.parametrize(('given', 'seconds'), [(dict(timeout=20), 20), (dict(timeout=0), 0), ({}, None)])
def test_the_patience_of_the_config(monkeypatch, given, seconds):
    calls = []
    monkeypatch.setattr('torch.distributed.init_process_group', lambda **options: calls.append(options))
    init_gloo('pytorch', given)
    patience = {} if seconds is None else dict(timeout=timedelta(seconds=seconds))
    assert calls == [dict(backend='gloo', **patience)]


def test_batch_norms_without_an_accelerator(monkeypatch):
    monkeypatch.setattr('mlore_mm.engine.processes.get_device', lambda: 'cpu')
    model = nn.Sequential(nn.SyncBatchNorm(3), nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3))
    weight = model[0].weight
    plain = synchronise_batch_norms(model, None)
    assert not any(isinstance(x, nn.SyncBatchNorm | PortableSyncBatchNorm) for x in plain)
    ours = synchronise_batch_norms(plain, 'torch')
    assert [type(x) for x in ours] == [PortableSyncBatchNorm, nn.Conv2d, PortableSyncBatchNorm]
    assert ours[0].weight.equal(weight)


def test_batch_norms_with_one(monkeypatch):
    monkeypatch.setattr('mlore_mm.engine.processes.get_device', lambda: 'cuda')
    model = nn.Sequential(nn.BatchNorm2d(3))
    assert type(synchronise_batch_norms(model, None)[0]) is nn.BatchNorm2d
    assert type(synchronise_batch_norms(model, 'torch')[0]) is nn.SyncBatchNorm
