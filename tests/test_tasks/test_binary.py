import numpy as np
import pytest
import torch
from torch.testing import assert_close

from mlore_mm.tasks import Edge, Saliency


@pytest.mark.parametrize('kind', [Saliency, Edge])
def test_one_logit_and_two_say_the_same(kind):
    logit = torch.randn(2, 1, 4, 5)
    one, two = kind(name='x', out_channels=1), kind(name='x', out_channels=2)
    both = torch.cat([torch.zeros_like(logit), logit], dim=1)
    assert_close(one.decode(logit), logit.sigmoid())
    assert_close(two.decode(both), logit.sigmoid())


@pytest.mark.parametrize('kind', [Saliency, Edge])
def test_other_numbers_of_channels_are_named(kind):
    with pytest.raises(ValueError, match=r"'x' \(\w+\) is yes or no.* 1 .* or 2 .*got 3"):
        kind(name='x', out_channels=3)


@pytest.mark.parametrize('ignore', [0, 0.5, 1])
def test_a_label_is_not_left_out(ignore):
    with pytest.raises(ValueError, match=f"'x' .Edge. has labels from 0 to 1, so ignore_value={ignore} would"):
        Edge(name='x', ignore_value=ignore)
    assert Edge(name='x', ignore_value=-1).ignore_value == -1
    assert Edge(name='x', ignore_value=2).ignore_value == 2


@pytest.mark.parametrize('channels', [1, 2])
def test_an_infinite_logit_is_no_certainty(channels):
    logits = torch.zeros(1, channels, 1, 3)
    logits[0, -1, 0] = torch.tensor([torch.inf, -torch.inf, 0])
    found = Edge(name='x', out_channels=channels).decode(logits).flatten()
    assert found.isnan().tolist() == [True, True, False]
    assert found[2] == 0.5


def test_files_pictures_and_results_are_those_of_a_probability():
    task, pred = Saliency(name='x'), np.array([[[0.0, 0.2, 1.0]]])
    array, suffix = task.to_file(pred)
    assert (array.dtype, array.tolist(), suffix) == (np.uint8, [[0, 51, 255]], '.png')
    assert task.value_range(pred) == (0, 1)
    assert task.draw(pred * 0.5)[0, :, 0].tolist() == [0, 25, 128]  # no range but 0 to 1
    result = task.result(pred)
    assert (result.task, result.probability.dtype, result.probability.shape) == ('x', np.float32, (1, 3))
