import pytest
import torch
from torch.testing import assert_close

from mlore_mm.routing import TopKGate

RHO = torch.tensor([[1.0, 3.0, 2.0, 0.0]])
E = RHO.exp()[0]


def test_softmax_then_select_is_not_renormalised():
    routing = TopKGate(top_k=2, noise='none')(RHO)
    total = E.sum()
    assert_close(routing.gates[0], torch.tensor([0, E[1] / total, E[2] / total, 0]))
    assert_close(routing.probabilities, RHO.softmax(dim=1))
    assert_close(TopKGate(top_k=2, renormalise=True, noise='none')(RHO).gates.sum(), torch.tensor(1.0))


def test_select_then_softmax():
    total = E[1] + E[2]
    assert_close(
        TopKGate(top_k=2, pre_softmax=True, noise='none')(RHO).gates[0],
        torch.tensor([0, E[1] / total, E[2] / total, 0]),
    )


@pytest.mark.parametrize('pre_softmax', [False, True])
@pytest.mark.parametrize('top_k', [1, 3, 4, 9])
def test_number_of_experts(pre_softmax, top_k):
    gates = TopKGate(top_k, pre_softmax).eval()(torch.randn(50, 4)).gates
    assert ((gates > 0).sum(dim=1) == min(top_k, 4)).all()


def test_noise_has_the_given_mean_and_deviation():
    """Noisy logits over many draws: mean rho, deviation |sigma|, no correlation; sigma is used as it is."""
    gate = TopKGate(top_k=3).train()
    rho, sigma = torch.tensor([0.5, -1.0, 2.0]), torch.tensor([0.3, 0.0, -1.5])
    draws = 40_000
    noisy = gate(rho.expand(2, draws, 3), sigma.expand(2, draws, 3)).probabilities.log().flatten(0, 1)
    # log-probabilities are logits up to a constant per draw; the expert without noise gives the constant
    noisy = noisy - noisy[:, 1:2] + rho[1]
    assert_close(noisy.mean(dim=0), rho, atol=0.03, rtol=0)
    assert_close(noisy.std(dim=0), sigma.abs(), atol=0.02, rtol=0)
    assert abs(torch.corrcoef(noisy.t()[[0, 2]])[0, 1]) < 0.02


@pytest.mark.parametrize(('noise', 'deviation'), [('none', 0.0), (0.7, 0.7), ('learned', 0.2)])
def test_kinds_of_noise(noise, deviation):
    gate, rho = TopKGate(top_k=2, noise=noise).train(), torch.zeros(20_000, 2)
    log = gate(rho, torch.full_like(rho, 0.2)).probabilities.log()
    assert_close((log[:, 0] - log[:, 1]).std().item(), deviation * 2**0.5, atol=0.02, rtol=0)
    gate.eval()
    assert_close(gate(rho, rho + 9).probabilities, torch.full_like(rho, 0.5))


def test_tasks_draw_one_after_the_other():
    """A generator state gives what the published code draws: a tensor (B, N) per task."""
    gate, sigma = TopKGate(top_k=3).train(), torch.ones(4, 8, 3)
    torch.manual_seed(3)
    probabilities = gate(torch.zeros(4, 8, 3), sigma).probabilities
    torch.manual_seed(3)
    assert_close(probabilities, torch.stack([torch.randn(8, 3) for _ in range(4)]).softmax(dim=-1))


def test_impossible_settings():
    with pytest.raises(ValueError, match='top_k >= 1, but got 0'):
        TopKGate(top_k=0)
    with pytest.raises(ValueError, match="'none', 'learned' or a number, but got 'loud'"):
        TopKGate(top_k=1, noise='loud')
