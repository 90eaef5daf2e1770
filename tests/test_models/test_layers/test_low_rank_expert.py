import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

from mlore_mm.models.layers import LowRankExpert, LowRankExpertBank

RANKS = (3, 1, 4)


@pytest.fixture
def bank():
    bank = LowRankExpertBank(embed_dims=8, ranks=RANKS).double()
    for parameter in bank.parameters():
        torch.nn.init.normal_(parameter)
    return bank


def test_expert_is_affine():
    expert = LowRankExpert(embed_dims=8, rank=2).double()
    x, y = torch.randn(2, 2, 8, 5, 5, dtype=torch.float64)
    assert_close(expert(x + y), expert(x) + expert(y) - expert(torch.zeros_like(x)))


def test_expert_is_one_convolution_inside_the_image():
    """Zero padding acts before the bias of the first convolution, in both forms alike."""
    expert, x = LowRankExpert(8, 3).double(), torch.randn(2, 8, 5, 4, dtype=torch.float64)
    torch.nn.init.normal_(expert.reduce.bias)
    kernel, bias = expert.merged()
    assert_close(F.conv2d(x, kernel, bias, padding=1), expert(x))


def test_bank_is_the_gated_sum_of_its_experts(bank):
    x, gates = torch.randn(2, 8, 5, 4, dtype=torch.float64), torch.rand(2, 3, dtype=torch.float64)
    wanted = sum(gates[:, i, None, None, None] * bank.expert(i, x) for i in range(3))
    assert_close(bank(x, gates), wanted)


def test_chosen_channels_are_enough(bank):
    x, gates = torch.randn(2, 8, 5, 4, dtype=torch.float64), torch.tensor([[0.3, 0.0, -1.2], [0.0, 0.0, 0.7]]).double()
    wanted = bank(x, gates)
    for i, (image, gate) in enumerate(zip(x, gates, strict=True)):
        channels = bank.chosen_channels(gate)
        assert channels.tolist() == [[0, 1, 2, 4, 5, 6, 7], [4, 5, 6, 7]][i]
        reduced = F.conv2d(image[None], bank.reduce.weight[channels], padding=1)[0]
        assert_close(bank.expand_chosen(reduced, gate, channels), wanted[i])


def test_kernels_of_single_experts(bank):
    x = torch.randn(2, 8, 5, 4, dtype=torch.float64)
    kernels, biases = bank.kernels()
    for i in range(3):
        assert_close(F.conv2d(x, kernels[i].view(8, 8, 3, 3), biases[i], padding=1), bank.expert(i, x))


def test_expert_that_is_not_chosen_gets_no_gradient(bank):
    gates = torch.tensor([[0.5, 0.0, 0.2]], dtype=torch.float64)
    bank(torch.randn(1, 8, 5, 4, dtype=torch.float64), gates).sum().backward()
    assert (bank.reduce.weight.grad[3:4] == 0).all()
    assert (bank.reduce.weight.grad[:3] != 0).any()
    assert (bank.expand_bias.grad[1] == 0).all()


def test_initial_weights_are_those_of_single_convolutions():
    bank = LowRankExpertBank(64, (16, 4))
    bank.init_weights()
    bound = lambda fan_in: fan_in**-0.5  # noqa: E731  kaiming_uniform(a=sqrt(5))
    for weight, fan_in in ((bank.reduce.weight, 64 * 9), (bank.expand[:, :16], 16), (bank.expand[:, 16:], 4)):
        assert 0.95 * bound(fan_in) < weight.abs().max() <= bound(fan_in)
    assert (bank.reduce.bias == 0).all()
    assert (bank.expand_bias == 0).all()


def test_expert_of_full_rank_can_be_any_convolution():
    """As the published code takes it: with the identity as its second matrix it is its first convolution."""
    expert, bank = LowRankExpert(8, 8).double(), LowRankExpertBank(8, (2, 8)).double()
    x = torch.randn(2, 8, 5, 4, dtype=torch.float64)
    torch.nn.init.eye_(expert.expand.weight.data[..., 0, 0])
    torch.nn.init.zeros_(expert.expand.bias)
    assert_close(expert(x), expert.reduce(x))
    kernel, bias = expert.merged()
    bank.reduce.weight.data[2:], bank.reduce.bias.data[2:] = kernel, bias
    bank.expand.data[:, 2:] = torch.eye(8)
    bank.expand_bias.data.zero_()
    assert_close(bank(x, torch.tensor([[0.0, 1.0]] * 2).double()), expert(x))


def test_rank_must_not_be_above_width():
    with pytest.raises(ValueError, match='0 < rank <= embed_dims, but got rank=9 and embed_dims=8'):
        LowRankExpert(embed_dims=8, rank=9)
    with pytest.raises(ValueError, match='rank=0 and embed_dims=8'):
        LowRankExpert(embed_dims=8, rank=0)
    with pytest.raises(ValueError, match='rank=9 and embed_dims=8'):
        LowRankExpertBank(embed_dims=8, ranks=[2, 9])
    with pytest.raises(ValueError, match='`ranks` is empty'):
        LowRankExpertBank(embed_dims=8, ranks=[])


def test_initial_weights_of_an_expert():
    expert = LowRankExpert(64, 16)
    expert.init_weights()
    for conv, fan_in in ((expert.reduce, 64 * 9), (expert.expand, 16)):  # kaiming_uniform(a=sqrt(5))
        assert 0.95 * fan_in**-0.5 < conv.weight.abs().max() <= fan_in**-0.5
        assert (conv.bias == 0).all()
    with pytest.raises(ValueError, match='rank=0'):
        LowRankExpert(embed_dims=8, rank=0)


def test_a_factor_scales_all_of_an_expert():
    """Biases included; it is applied where the map is small."""
    expert, x = LowRankExpert(8, 2).double(), torch.randn(2, 8, 5, 4, dtype=torch.float64)
    for conv in (expert.reduce, expert.expand):
        torch.nn.init.normal_(conv.bias)
    factor = torch.tensor([0.5, -2.0], dtype=torch.float64)
    assert_close(expert(x, factor), factor[:, None, None, None] * expert(x))
