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
