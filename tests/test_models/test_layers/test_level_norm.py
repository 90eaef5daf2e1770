import pytest
import torch
from mmengine.registry import init_default_scope
from torch.testing import assert_close

import mlore_mm  # noqa: F401
from mlore_mm.models.layers import LevelNorm


def levels():
    torch.manual_seed(0)
    scales = torch.tensor([40.0, 1.0, 0.1], dtype=torch.float64)[:, None, None]
    return [scales * torch.randn(4, 3, 5, 6, dtype=torch.float64) + 7, torch.randn(4, 2, 3, 3, dtype=torch.float64)]


def test_channels_get_one_scale_and_keep_it_in_evaluation():
    neck, given = LevelNorm([3, 2]).double(), levels()
    for _ in range(200):
        out = neck(given)
    for x in out:
        assert_close(x.mean((0, 2, 3)), torch.zeros(x.shape[1], dtype=torch.float64))
        assert_close(x.var((0, 2, 3), correction=0), torch.ones(x.shape[1], dtype=torch.float64), rtol=2e-3, atol=0)
    assert not list(neck.parameters())
    for trained, evaluated in zip(out, neck.eval()(given), strict=True):
        assert_close(trained, evaluated, rtol=0.03, atol=0.01)  # the kept variance is that of a sample


def test_another_neck_follows():
    init_default_scope('mlore_mm')
    config = dict(type='mmseg.MultiLevelNeck', in_channels=[3, 3], out_channels=4, scales=[2, 1])
    neck = LevelNorm([3, 3], then=config).eval()
    x = [torch.randn(1, 3, 4, 5)] * 2
    assert [tuple(y.shape) for y in neck(x)] == [(1, 4, 8, 10), (1, 4, 4, 5)]
    assert_close(neck(x), neck.then([norm(y) for norm, y in zip(neck.norms, x, strict=True)]))
    assert not neck.keeps_levels
    assert LevelNorm([3]).keeps_levels


def test_number_of_levels_is_checked():
    with pytest.raises(ValueError, match='1 levels, but the encoder has 2'):
        LevelNorm([3])(levels())
