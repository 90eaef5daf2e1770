"""Inverse depth: numbers by hand, there and back."""

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from mlore_mm.tasks import Depth, InverseDepth

TASK = InverseDepth(name='depth')


def test_encoding_by_hand():
    metres = torch.tensor([0.0, 0.99, 6.5436, 80.0])
    assert_close(TASK.encode(metres), torch.tensor([65536.0, 655.36, 100.0, 65536 / 8001]))


def test_decoding_is_the_way_back():
    metres = torch.tensor([0.3, 1.0, 7.25, 79.9], dtype=torch.float64)
    assert_close(TASK.decode(TASK.encode(metres)), metres)


@pytest.mark.parametrize(('inverse', 'metres'), [(-5.0, 0.0), (1e9, 0.0), (0.0, 1e4), (1e-9, 1e4)])
def test_values_out_of_range_are_kept_in_it(inverse, metres):
    assert TASK.decode(torch.tensor([inverse])).item() == metres


def test_pixels_without_a_reading_stay_ignored():
    target = torch.tensor([[[[0.0, 2.0]]]])
    assert TASK.valid_mask(target).flatten().tolist() == [False, True]


def test_metres_stay_when_the_image_is_resized():
    values = np.full((2, 2), 3.0)
    assert_close(TASK.rescale_values(values, 1.5), values)
    assert_close(Depth(name='depth').rescale_values(values, 1.5), values / 1.5)
