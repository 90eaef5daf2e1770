import copy

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.testing import assert_close

from mlore_mm.models.ops import PortableSyncBatchNorm, sync_batch_norm
from tests.distributed import run_in_processes

X = torch.randn(7, 3, 4, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 3 + 100
SHARES = {2: [slice(0, 3), slice(3, 7)], 3: [slice(0, 1), slice(1, 3), slice(3, 7)]}


def run(norm, x):
    """Output, gradient of the input, gradients of the weights, statistics."""
    x = x.clone().requires_grad_()
    y = norm(x)
    (y * torch.arange(20.0, dtype=torch.float64).view(4, 5)).square().sum().backward()
    return y.detach(), x.grad, norm.weight.grad, norm.bias.grad, norm.running_mean, norm.running_var


def make():
    norm = nn.BatchNorm2d(3, momentum=0.3).double()
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([0.5, 1.0, -2.0]))
    return norm


def in_a_process():
    share = SHARES[dist.get_world_size()][dist.get_rank()]
    return run(PortableSyncBatchNorm.convert(make()), X[share])


@pytest.mark.parametrize('processes', [2, 3])
def test_uneven_shares_give_what_the_whole_batch_gives(tmp_path, processes):
    whole = run(make(), X)
    parts = run_in_processes(in_a_process, tmp_path, world_size=processes)
    for i in (0, 1):
        assert_close(torch.cat([part[i] for part in parts]), whole[i])
    for i in (2, 3):
        assert_close(sum(part[i] for part in parts), whole[i])
    for i in (4, 5):
        assert all(torch.equal(part[i], parts[0][i]) for part in parts)
        assert_close(parts[0][i], whole[i])


def test_alone_and_in_evaluation_it_is_an_ordinary_one():
    norm, plain = PortableSyncBatchNorm.convert(make()), make()
    assert_close(run(norm, X), run(plain, X))
    assert_close(norm.eval()(X), plain.eval()(X))


def test_conversion_keeps_tensors_names_and_modes():
    model = nn.Sequential(nn.Conv2d(3, 3, 1), nn.ModuleDict(dict(a=nn.BatchNorm2d(3).eval(), b=nn.LayerNorm(3))))
    model[1]['a'].weight.requires_grad_(False)
    names, weight = list(model.state_dict()), model[1]['a'].weight
    converted = PortableSyncBatchNorm.convert(model)
    assert isinstance(converted[1]['a'], PortableSyncBatchNorm)
    assert converted[1]['a'].weight is weight
    assert not converted[1]['a'].training
    assert list(converted.state_dict()) == names
    assert isinstance(converted[1]['b'], nn.LayerNorm)


def test_vectors_without_channels_are_refused():
    with pytest.raises(ValueError, match=r'needs \(B, C, ...\), but got an input of shape \(3,\)'):
        PortableSyncBatchNorm(3)(torch.zeros(3))


@pytest.fixture
def one_of_two(monkeypatch):
    """The form for several processes, whose other members have nothing to add."""
    monkeypatch.setattr(dist, 'is_initialized', lambda: True)
    monkeypatch.setattr(dist, 'get_world_size', lambda: 2)
    monkeypatch.setattr(sync_batch_norm, 'sum_over_processes', lambda x: x)


@pytest.mark.parametrize(
    'options',
    [dict(affine=False), dict(momentum=None), dict(track_running_stats=False), dict(eps=10.0, momentum=0.25)],
    ids=str,
)
def test_every_option_of_an_ordinary_one(one_of_two, options):
    plain = nn.BatchNorm2d(3, **options).double()
    norm = PortableSyncBatchNorm.convert(copy.deepcopy(plain))
    for x in (X, X[:3] / 2):
        assert_close(norm(x), plain(x))
    assert_close(norm.state_dict(), plain.state_dict())
    assert_close(norm.eval()(X), plain.eval()(X))


def test_vectors_and_half_precision(one_of_two):
    """Statistics are of full precision: in bf16 a mean of 100 has steps of one half."""
    plain, norm = nn.BatchNorm1d(3), PortableSyncBatchNorm(3)
    x = X[:, :, 0, 0].bfloat16()
    found, wanted = norm(x), plain(x.float())
    assert found.dtype == torch.bfloat16
    assert_close(found, wanted.bfloat16())
    assert_close(norm.running_mean, plain.running_mean)
    with pytest.raises(ValueError, match=r'needs \(B, C, ...\)'):
        norm(torch.zeros(3))
    alone = PortableSyncBatchNorm(3)(torch.ones(1, 3))  # one value has no deviation
    assert torch.equal(alone, torch.zeros(1, 3))


def test_one_that_is_converted_already_stays():
    norm = PortableSyncBatchNorm(3)
    assert PortableSyncBatchNorm.convert(norm) is norm
