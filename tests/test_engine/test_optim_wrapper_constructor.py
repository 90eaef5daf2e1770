"""The optimizer sees what is trained, and nothing else."""

import pytest
import torch
from mmengine.optim import build_optim_wrapper
from torch import nn

from mlore_mm.registry import OPTIM_WRAPPER_CONSTRUCTORS

OPTIM_WRAPPER = dict(type='OptimWrapper', optimizer=dict(type='Adam', lr=0.1, weight_decay=0.1))


def build(model, **options):
    constructor = OPTIM_WRAPPER_CONSTRUCTORS.build(
        dict(type='TrainableOptimWrapperConstructor', optim_wrapper_cfg=dict(OPTIM_WRAPPER), **options)
    )
    return constructor(model)


@pytest.mark.parametrize('options', [dict(), dict(paramwise_cfg=dict(norm_decay_mult=0.0))])
def test_frozen_parameters_stay_out(options):
    model = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.Linear(4, 2))
    model[0].requires_grad_(False)
    before = model[0].weight.clone()
    wrapper = build(model, **options)

    trained = {id(p) for group in wrapper.optimizer.param_groups for p in group['params']}
    assert trained == {id(p) for p in model[1:].parameters()}
    wrapper.update_params(model(torch.ones(1, 3)).sum())
    assert torch.equal(model[0].weight, before)


def test_a_wholly_frozen_model_is_refused():
    with pytest.raises(ValueError, match='nothing to train'):
        build(nn.Linear(2, 2).requires_grad_(False))


def test_configs_name_it():
    wrapper = build_optim_wrapper(
        nn.Linear(2, 2), dict(constructor='mlore_mm.TrainableOptimWrapperConstructor', **OPTIM_WRAPPER)
    )
    assert len(wrapper.optimizer.param_groups[0]['params']) == 2
