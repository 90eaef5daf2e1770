from typing import NamedTuple

import torch
from torch import nn

from mlore_mm.models.output import MultiTaskOutput
from mlore_mm.utils.finite import FirstNonFinite, is_finite, tensors_in, with_nonfinite_of


class Pair(NamedTuple):
    a: torch.Tensor
    b: list


def test_only_nan_and_infinity_are_not_finite():
    assert is_finite(torch.tensor([1e38, -0.0]))
    assert is_finite(torch.tensor([3]))
    assert not is_finite(torch.tensor([1.0, float('nan')]))
    assert not is_finite(torch.tensor([-float('inf')]))


def test_tensors_are_found_wherever_they_are():
    x = torch.zeros(1)
    assert len(tensors_in(dict(a=Pair(x, [x, 'text', None]), b=MultiTaskOutput(dict(semseg=x))))) == 3


def test_the_first_layer_is_named_and_not_those_that_it_spoils():
    model = nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.Linear(2, 2), nn.ReLU()), nn.Linear(2, 2))
    nn.init.constant_(model[1][0].bias, float('inf'))
    with FirstNonFinite(model) as first:
        model(torch.ones(1, 2))
    assert first.name == '1.0'
    assert not model[1][0]._forward_hooks
    with FirstNonFinite(model[0:1]) as first:
        model[0:1](torch.ones(1, 2))
    assert first.name is None


def test_an_infinite_source_is_no_ordinary_number():
    source = torch.tensor([1.0, torch.inf, -torch.inf, torch.nan])
    found = with_nonfinite_of(torch.tensor([5.0, 1.0, 0.0, 2.0]), source)
    assert found[0] == 5
    assert found[1:].isnan().all()
    assert tensors_in([1, 'a', None, {2}]) == []
