import pytest
import torch
from torch.testing import assert_close

from mlore_mm.routing import TopKGate, trace_routing

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
    with pytest.raises(ValueError, match="'none', 'learned', 'softplus' or a number, but got 'loud'"):
        TopKGate(top_k=1, noise='loud')


@pytest.mark.parametrize('options', [dict(), dict(pre_softmax=True), dict(renormalise=True), dict(prob_eps=1e-2)])
def test_ids_and_scores_say_the_same_as_gates(options):
    routing = TopKGate(top_k=2, noise='none', **options)(RHO.expand(3, 5, 4))
    assert routing.experts.shape == (3, 5, 2)
    assert routing.experts[2, 4].tolist() == [1, 2]
    dispatched = torch.zeros(3, 5, 4).scatter(-1, routing.experts, routing.scores)
    assert_close(dispatched, routing.gates)
    without = routing.without(1)
    assert_close(torch.zeros(3, 5, 4).scatter(-1, routing.experts, without.scores), without.gates)
    assert (without.gates[..., 1] == 0).all()


def test_epsilon_on_the_probabilities():
    """As in Mod-Squad: added before the selection, so that it is in the gates as well."""
    routing = TopKGate(top_k=2, noise='none', prob_eps=1e-4)(RHO)
    assert_close(routing.probabilities, RHO.softmax(dim=-1) + 1e-4)
    assert_close(routing.gates[0, 1], E[1] / E.sum() + 1e-4)


def test_deviation_per_expert():
    """As in V-MoE: sigma / N, and what the choice was made by is kept."""
    gate = TopKGate(top_k=1, noise=6.0, noise_per_expert=True).train()
    gate.draw = lambda like: torch.ones_like(like).cumsum(dim=-1)
    routing = gate(RHO)
    assert routing.noise_std == 6 / 4
    assert_close(routing.noisy_logits, RHO + 1.5 * torch.tensor([1.0, 2, 3, 4]))
    assert_close(routing.probabilities, routing.noisy_logits.softmax(dim=-1))
    assert_close(routing.logits, RHO)
    assert routing.experts.tolist() == [[2]]
    assert gate.eval()(RHO).noisy_logits is None


def test_softplus_deviation():
    gate = TopKGate(top_k=2, pre_softmax=True, noise='softplus').train()
    gate.draw = torch.ones_like
    raw = torch.tensor([[0.0, 1, -1, 2]])
    wanted = (1 + raw.exp()).log() + 0.01
    assert_close(gate(RHO, raw).noise_std, wanted)
    assert_close(gate(RHO, raw).noisy_logits, RHO + wanted)
    with pytest.raises(ValueError, match="noise='softplus' was called without"):
        gate(RHO)


def test_noise_in_evaluation():
    gate = TopKGate(top_k=2, noise=1.0, noise_in_eval=True).eval()
    assert not torch.equal(gate(RHO).probabilities, gate(RHO).probabilities)


def test_a_routing_writes_its_record():
    gate = TopKGate(top_k=2, noise=1.0).train()
    with trace_routing() as trace:
        routing = gate(RHO.expand(2, 3, 4))
        routing.record('encoder/block1', 'depth')
        routing.of(1).record('encoder/block1', 'edge')
    first, second = trace.records
    assert (first.layer, first.task, second.task) == ('encoder/block1', 'depth', 'edge')
    for name in ('probabilities', 'gates', 'experts', 'logits', 'noisy_logits'):
        assert torch.equal(getattr(first, name)[1], getattr(second, name))


def test_without_being_asked_evaluation_and_exports_have_no_noise():
    logits, sigma = torch.tensor([[0.5, 0.4, 0.3]]), torch.full((1, 3), 9.0)
    wanted = TopKGate(top_k=1, noise='none')(logits).gates
    for seed in range(5):
        torch.manual_seed(seed)
        assert torch.equal(TopKGate(top_k=1).eval()(logits, sigma).gates, wanted)
        assert torch.equal(TopKGate(top_k=1, noise=9.0).eval()(logits).gates, wanted)


def test_no_noise_is_none_and_double_precision_stays():
    gate = TopKGate(top_k=1, noise=0.0).train()
    assert gate(RHO).noise_std is None
    noise = TopKGate(top_k=1, noise=1.0).draw(torch.zeros(3, 2, 4, dtype=torch.float64))
    assert (noise.dtype, noise.shape) == (torch.float64, (3, 2, 4))
    learned = TopKGate(top_k=1, noise='learned', noise_per_expert=True).train()
    assert_close(learned(RHO, torch.full_like(RHO, 2.0)).noise_std, torch.full_like(RHO, 0.5))
    with pytest.raises(ValueError, match="noise='learned' was called without"):
        learned(RHO)
    TopKGate(top_k=1, noise=0.5).train()(RHO)  # a number needs nothing


def test_renormalised_gates_keep_their_ratio():
    gates = TopKGate(top_k=2, renormalise=True, noise='none')(RHO.expand(2, 3, 4)).gates
    assert_close(gates[1, 2], torch.tensor([0, E[1], E[2], 0]) / (E[1] + E[2]))
