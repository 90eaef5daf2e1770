import pytest
import torch
import torch.nn.functional as F

from mlore_mm.utils import half_precision
from mlore_mm.utils.half_precision import autocast_to, check_dtype, default_half


def test_types_by_device():
    assert (default_half('cpu'), default_half('cuda:1')) == ('bf16', 'fp16')
    x = torch.ones(2, 2)
    for name, found in dict(fp32=torch.float32, bf16=torch.bfloat16).items():
        with autocast_to(name, 'cpu'):
            assert F.linear(x, x).dtype == found


def test_what_a_device_cannot_is_refused():
    with pytest.raises(ValueError, match="On a CPU 16 bits are 'bf16', but got dtype='fp16'"):
        check_dtype('fp16', 'cpu')
    with pytest.raises(ValueError, match="one of fp32, bf16, fp16, but got 'int8'"):
        check_dtype('int8', 'cpu')
    assert check_dtype('fp16', 'cuda') == 'fp16'


@pytest.mark.parametrize('has', [True, False])
def test_a_processor_that_imitates_bf16_is_named(monkeypatch, has):
    said = []
    monkeypatch.setattr(half_precision, 'has_bf16', lambda: has)
    monkeypatch.setattr(half_precision, 'print_log', lambda text, *more: said.append(text))
    check_dtype('bf16', 'cpu')
    check_dtype('fp32', 'cpu')
    assert len(said) == (not has)
    assert all('slower than fp32' in text for text in said)


def test_half_precision_of_a_gpu_is_asked_of_that_gpu(monkeypatch):
    monkeypatch.setattr(torch, 'autocast', lambda *args: args)
    assert autocast_to('fp16', 'cuda:1') == ('cuda', torch.float16)
    assert autocast_to('bf16', torch.device('cpu')) == ('cpu', torch.bfloat16)


@pytest.mark.parametrize(('machine', 'has'), [('AMD64', True), ('x86_64', False)])
def test_what_the_processor_has_is_asked_of_torch(monkeypatch, machine, has):
    monkeypatch.setattr(half_precision.platform, 'machine', lambda: machine)
    for name in ('_is_avx512_bf16_supported', '_is_amx_tile_supported'):
        monkeypatch.setattr(torch.cpu, name, lambda name=name: has and 'amx' in name, raising=False)
    assert half_precision.has_bf16.__wrapped__() == has
