import pytest
import torch

from mlore_mm.routing import RouterRecord
from mlore_mm.routing.token_maps import best_experts, token_grid


def test_grid():
    assert token_grid(6, (32, 48)) == (2, 3)
    assert token_grid(7, (32, 48)) == (2, 3)  # with a class token
    assert token_grid(1025, (512, 512)) == (32, 32)
    with pytest.raises(ValueError, match='50 tokens are no grid of square patches of an image of 32 x 48'):
        token_grid(50, (32, 48))


def test_best_expert_of_each_patch():
    ids = torch.tensor([[0, 2, 1, 0, 3, 3, 1]])  # the class token first
    gates = torch.nn.functional.one_hot(ids, 4).float() * 0.5
    assert best_experts(RouterRecord('a', 'depth', gates, gates), (32, 48)).tolist() == [[[2, 1, 0], [3, 3, 1]]]
    with pytest.raises(ValueError, match="'a' routes images and not tokens"):
        best_experts(RouterRecord('a', 'depth', gates[:, 0], gates[:, 0]), (32, 48))


def test_as_many_extra_tokens_as_there_may_be():
    """Eight in front of 2 x 3 patches, of which the largest that fit are taken; nine are none of a grid."""
    assert token_grid(14, (32, 48)) == (2, 3)
    with pytest.raises(ValueError, match='up to 8 class tokens'):
        token_grid(15, (32, 48))
    assert token_grid(24, (32, 48)) == (4, 6)
    with pytest.raises(ValueError, match='5 tokens'):
        token_grid(5, (32, 48))
