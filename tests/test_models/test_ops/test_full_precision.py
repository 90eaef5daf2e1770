"""Routers decide in full precision, whatever surrounds them."""

from contextlib import nullcontext

import torch

from mlore_mm.models.ops.full_precision import without_autocast


def test_inside_autocast_it_is_off():
    x, weight = torch.randn(2, 3), torch.randn(3, 3)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        assert (x @ weight).dtype == torch.bfloat16
        with without_autocast(x):
            assert (x @ weight).dtype == torch.float32
        assert (x @ weight).dtype == torch.bfloat16


def test_outside_nothing_is_said():
    """A graph that mentions autocast cannot be stored for any size."""
    assert isinstance(without_autocast(torch.zeros(1)), nullcontext)
    assert isinstance(without_autocast(torch.zeros(1, device='meta')), nullcontext)


def test_shapes_are_counted_without_autocast():
    with torch.autocast('cpu', dtype=torch.bfloat16):
        x = torch.zeros(2, 3, device='meta')
        with without_autocast(x):
            assert not torch.is_autocast_enabled('cpu')
