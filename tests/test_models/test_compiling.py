"""Compiling the network. Generated code is not run here, which takes minutes: only what is traced, and what is said."""

from copy import deepcopy

import pytest
import torch
from torch import nn

from mlore_mm.models import compile_network, compiling
from tests.mlore_models import make_samples
from tests.test_models.test_fast_paths import build


class Scale(nn.Module):
    """A model with a network, and nothing else that takes time to trace."""

    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(2.0))

    @staticmethod
    def network(model, x):
        if x.dim() != 1:
            raise ValueError('one axis')
        return model.factor * x

    def forward(self, x):
        return self.network(self, x)


@pytest.fixture
def said(monkeypatch):
    torch._dynamo.reset()
    lines = []
    monkeypatch.setattr(compiling, 'print_log', lambda text, *more: lines.append(text))
    return lines


@pytest.mark.slow
def test_one_graph_from_images_to_losses(said):
    model = build(('edge',), in_channels=[16], in_index=[0]).train()
    images = torch.randn(1, 3, 32, 48)
    assert compile_network(model, dict(fullgraph=True, backend='eager'))
    sum(model(images, make_samples(model, images), mode='loss').values()).backward()
    assert model.network.compiled is not None, said
    assert all(p.grad is not None for name, p in model.named_parameters() if 'decode_head' in name)


def test_a_copy_computes_with_its_own_weights(said):
    model = Scale()
    assert compile_network(model, dict(backend='eager'))
    other = deepcopy(model)
    other.factor.data.fill_(3.0)
    x = torch.ones(2)
    assert [m(x)[0].item() for m in (model, other)] == [2, 3]
    assert model.network.compiled is other.network.compiled is not None


@pytest.mark.parametrize('compiler', ['', 'no-such-compiler'])
def test_without_a_compiler_one_line_and_plain_pytorch(said, monkeypatch, compiler):
    monkeypatch.setenv('CXX', compiler)
    monkeypatch.setenv('PATH', '/nowhere')
    model = Scale()
    assert not compile_network(model)
    (line,) = said
    assert 'needs a C++ compiler' in line
    assert compiler in line
    assert model(torch.ones(1)) == 2


def test_a_backend_that_fails_is_said_once(said):
    def broken(graph, inputs):
        raise RuntimeError('no room on the device')

    model = Scale()
    compile_network(model, dict(backend=broken))
    assert model(torch.ones(1)) == model(torch.ones(1)) == 2
    assert len(said) == 2
    assert 'Compiling failed, computing as usual' in said[1]


def test_an_error_of_the_model_stays_one(said):
    model = Scale()
    compile_network(model, dict(backend='eager'))
    with pytest.raises(ValueError, match='one axis'):
        model(torch.ones(1, 1))


def test_what_is_not_to_be_compiled(said):
    model = Scale()
    for options in (False, None):
        assert not compile_network(model, options)
    assert 'network' not in vars(model)
    assert not said


def test_what_a_device_needs(monkeypatch, tmp_path):
    monkeypatch.setattr(compiling, 'find_spec', lambda name: None)
    assert 'needs Triton on a GPU' in compiling.missing_compiler('cuda')
    compiler = tmp_path / 'my-c++'
    compiler.touch(mode=0o755)
    monkeypatch.setenv('CXX', str(compiler))
    monkeypatch.setenv('PATH', '/nowhere')
    assert compiling.missing_compiler('cpu') == ''
    monkeypatch.setattr(compiling, 'find_spec', lambda name: name == 'triton')
    assert compiling.missing_compiler('cuda') == ''
    monkeypatch.delenv('CXX')
    assert 'none of g++, clang++, c++, cl was found' in compiling.missing_compiler('cpu')
