import torch
from torch.testing import assert_close

from mlore_mm.models.ops.token_dispatch import TokenDispatch

EXPERTS = torch.tensor([[2, 0], [3, 2], [0, 2]])


def test_rows_lie_expert_by_expert():
    dispatch = TokenDispatch.to_experts(EXPERTS, num_experts=5)
    assert dispatch.experts.tolist() == [0, 0, 2, 2, 2, 3]
    assert dispatch.tokens.tolist() == [0, 2, 0, 1, 2, 1]
    assert dispatch.ends.tolist() == [2, 2, 5, 6, 6]


def test_there_and_back():
    dispatch = TokenDispatch.to_experts(EXPERTS, num_experts=5)
    x, scores = torch.randn(3, 4), torch.rand(3, 2)
    assert_close(dispatch.collect(dispatch.send(x)), x[:, None].expand(3, 2, 4))
    assert_close(dispatch.add_up(dispatch.send(x)), 2 * x)
    rows = dispatch.scores(scores)
    assert_close(dispatch.collect(rows[:, None])[..., 0], scores)
    assert_close(dispatch.collect(dispatch.experts[:, None])[..., 0], EXPERTS)


def test_many_tokens_of_an_expert_keep_their_order():
    dispatch = TokenDispatch.to_experts(torch.randint(3, (2000, 1)), num_experts=3)
    assert dispatch.ends.dtype == torch.int32  # what the kernels of a GPU take
    assert all((part.diff() > 0).all() for part in dispatch.tokens.tensor_split(dispatch.ends[:-1].long()))
