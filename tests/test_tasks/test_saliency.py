import numpy as np
import torch
from torch.testing import assert_close

from mlore_mm.tasks import Saliency

TASK = Saliency(name='sal')


def test_the_prediction_is_the_probability_of_the_second_class():
    logits = torch.tensor([[[0.0, 1.0]], [[0.0, 3.0]]])
    assert_close(TASK.decode(logits), torch.tensor([[[0.5, torch.sigmoid(torch.tensor(2.0))]]]))


def test_other_values_than_yes_and_no_are_found():
    assert TASK.check_values(np.array([[0, 1, 255]], np.uint8)) is None
    problem = TASK.check_values(np.array([[0, 128, 254]], np.uint8))
    assert problem == '0, 1 or 255 (ignore) expected, found [128 254]'


def test_the_best_constant_says_that_everything_is_salient():
    assert TASK.constant([]).tolist() == [[[1]]]


def test_salient_things_are_white():
    assert TASK.draw(np.array([[[0, 1, 255]]], np.uint8))[0, :, 0].tolist() == [0, 255, 0]
