import numpy as np
import torch
from torch.testing import assert_close

from mlore_mm.tasks import Edge

TASK = Edge(name='edge')


def test_the_prediction_is_a_probability():
    assert_close(TASK.decode(torch.tensor([[[0.0, 2.0]]])), torch.tensor([[[0.5, 1 / (1 + np.exp(-2.0))]]]).float())


def test_values_beyond_a_share_are_found():
    assert TASK.check_values(np.array([[0, 0.5, 1, 255]], np.float32)) is None
    assert TASK.check_values(np.array([[0, 1, 255]], np.uint8)) is None
    assert TASK.check_values(np.array([[0, 254]], np.uint8)).endswith('found [254]')
    assert TASK.check_values(np.array([[-0.5, np.nan]], np.float32)).endswith('found [-0.5  nan]')


def test_ignored_pixels_look_like_no_boundary():
    picture = TASK.draw(np.array([[[0, 1, 255]]], np.float32))
    assert picture[0, 0].tolist() == picture[0, 2].tolist() != picture[0, 1].tolist()


def test_boundaries_are_black_on_white():
    assert TASK.draw(np.array([[[0.0, 1.0]]]))[0, :, 0].tolist() == [255, 0]
