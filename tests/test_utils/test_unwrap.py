import pytest
from mmengine.model import BaseTTAModel, ExponentialMovingAverage
from torch import nn

from mlore_mm.utils.unwrap import bare_model, bare_name


class TTA(BaseTTAModel):
    def merge_preds(self, data_samples_list):
        return data_samples_list


class HasModule(nn.Module):
    """A model with a part of this name is not a wrapper."""

    def __init__(self):
        super().__init__()
        self.module = nn.Linear(1, 1)
        self.test_step = None


TWICE = [lambda x: nn.DataParallel(TTA(x)), lambda x: nn.DataParallel(nn.DataParallel(x))]


@pytest.mark.parametrize('wrap', [nn.DataParallel, ExponentialMovingAverage, TTA, *TWICE])
def test_wrappers_come_off(wrap):
    model = HasModule()
    inner = bare_model(wrap(model))
    assert type(inner) is HasModule
    assert type(bare_model(model)) is HasModule


def test_compiled_models_are_the_model():
    import torch

    model = nn.Linear(1, 1)
    assert bare_model(torch.compile(model)) is model


@pytest.mark.parametrize(
    ('name', 'bare'),
    [
        ('a.weight', 'a.weight'),
        ('module.a.weight', 'a.weight'),
        ('module.module.a', 'a'),
        ('_orig_mod.module.a', 'a'),
        ('_fsdp_wrapped_module.a._fsdp_wrapped_module.b', 'a.b'),
        ('a.module.b', 'a.module.b'),
    ],
)
def test_names(name, bare):
    assert bare_name(name) == bare
