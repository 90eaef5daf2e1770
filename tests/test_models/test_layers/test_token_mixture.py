"""The plain sum over all experts is the definition; the fast one has to agree with it wherever it runs."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close
from torch.utils.checkpoint import checkpoint

from mlore_mm.models.layers import ExpertLinear, TokenMixture
from mlore_mm.models.layers.token_mixture import compute_dtype
from mlore_mm.models.ops.token_dispatch import TokenDispatch
from mlore_mm.routing import TopKGate, trace_routing


class Routed(nn.Module):
    """A router and a mixture, as a transformer block has them."""

    def __init__(self, num_experts: int = 5, top_k: int = 2) -> None:
        super().__init__()
        self.router = nn.Linear(16, num_experts)
        self.gate = TopKGate(top_k, noise='none')
        self.mixture = TokenMixture(16, 24, num_experts, top_k)
        for bias in (self.mixture.fc1.bias, self.mixture.fc2.bias):
            nn.init.normal_(bias)

    def forward(self, u):
        routing = self.gate(self.router(u.to(self.router.weight.dtype)))
        routing.record('encoder/block1', 'depth')
        return self.mixture(u, routing)

    def plain(self, u):
        return self.mixture.plain(u, self.gate(self.router(u)))


@pytest.fixture
def tokens():
    torch.manual_seed(0)
    return torch.randn(3, 7, 16)


def gradients(module, function, u):
    u = u.clone().requires_grad_()
    y = function(u)
    weights = torch.linspace(-1, 1, y.numel(), dtype=y.dtype).view_as(y)
    return [y, *torch.autograd.grad((y * weights).sum(), [u, *module.parameters()])]


@pytest.mark.parametrize('top_k', [1, 2, 5])
@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
def test_chosen_experts_give_what_all_of_them_give(top_k, dtype, tokens):
    module = Routed(top_k=top_k).to(dtype)
    with torch.no_grad():
        module.router.bias[3] = -99  # nobody chooses it, unless everybody has to
    tolerance = dict(atol=1e-5, rtol=1e-5) if dtype is torch.float32 else dict(atol=1e-12, rtol=1e-12)
    u = tokens.to(dtype)
    for ours, wanted in zip(gradients(module, module, u), gradients(module, module.plain, u), strict=True):
        assert_close(ours, wanted, **tolerance)


def test_the_experts_are_the_equation(tokens):
    module = Routed()
    mixture, u = module.mixture, tokens[0, 0]
    routing = module.gate(module.router(u))
    wanted = 0
    for e, score in zip(routing.experts, routing.scores, strict=True):
        hidden = nn.functional.gelu(mixture.fc1.weight[e] @ u + mixture.fc1.bias[e])
        wanted = wanted + score * (mixture.fc2.weight[e] @ hidden + mixture.fc2.bias[e])
    assert_close(module(u[None])[0], wanted)


def test_a_folded_batch_is_one_batch(tokens):
    module = Routed()
    folded = module(torch.stack([tokens, -tokens]))
    assert_close(folded, torch.stack([module(tokens), module(-tokens)]))


def test_activation_checkpointing(tokens):
    module = Routed()
    again = gradients(module, lambda u: checkpoint(module, u, use_reentrant=False), tokens)
    for ours, wanted in zip(again, gradients(module, module, tokens), strict=True):
        assert_close(ours, wanted)


def test_half_precision_leaves_the_router_alone(tokens):
    module = Routed()
    with torch.autocast('cpu', torch.bfloat16), trace_routing() as trace:
        with torch.autocast('cpu', enabled=False):
            routing = module.gate(module.router(tokens))
        routing.record('a', 'depth')
        y = module.mixture(tokens, routing)
    assert y.dtype is torch.bfloat16
    assert trace.records[0].gates.dtype is torch.float32
    assert_close(y.float(), module(tokens), atol=0.05, rtol=0.05)


def test_one_graph_with_the_record_in_it(tokens):
    module = Routed()
    compiled = torch.compile(module, fullgraph=True, backend='aot_eager')
    with trace_routing() as trace:
        ours = gradients(module, compiled, tokens)
    for a, b in zip(ours, gradients(module, module, tokens), strict=True):
        assert_close(a, b, atol=1e-5, rtol=1e-5)
    assert [record.gates.shape for record in trace.records] == [(3, 7, 5)]


def test_exported_files_hold_ordinary_operations(tokens):
    module = Routed().eval()
    program = torch.export.export(module, (tokens,))
    assert_close(program.module()(tokens), module(tokens))


def test_experts_alone(tokens):
    linear = ExpertLinear(4, 16, 8)
    nn.init.normal_(linear.bias)
    experts = torch.tensor([[0, 3], [3, 1]])
    dispatch = TokenDispatch.to_experts(experts, 4)
    slots = dispatch.collect(linear(dispatch.send(tokens[0, :2]), dispatch))
    for i in range(2):
        for j in range(2):
            assert_close(slots[i, j], linear.expert(int(experts[i, j]), tokens[0, i]))


def test_more_experts_chosen_than_there_are():
    with pytest.raises(ValueError, match='mixture of 4 experts cannot choose top_k=5'):
        TokenMixture(8, 8, 4, top_k=5)


def test_start_of_the_experts():
    """Uniform within 1 / sqrt(inputs) by default, within what is told else; biases 0."""
    linear = ExpertLinear(4, 64, 100)
    nn.init.ones_(linear.bias)
    assert linear.weight.abs().max().item() == pytest.approx(1 / 8, rel=0.01)
    linear.reset(3.0)
    assert (linear.weight.min().item(), linear.weight.max().item()) == pytest.approx((-3, 3), rel=0.01)
    assert (linear.bias == 0).all()
    ExpertLinear(4, 3, 5, bias=False).reset(1.0)


def test_some_of_the_experts_are_kept(tokens):
    mixture, linear = Routed().mixture, ExpertLinear(5, 16, 8, bias=False)
    wanted, alone = mixture.expert(3, tokens), linear.expert(3, tokens)
    for part in (mixture, linear):
        part.keep_experts(torch.tensor([0, 3]))
        assert part.num_experts == 2
    assert torch.equal(mixture.expert(1, tokens), wanted)
    assert torch.equal(linear.expert(1, tokens), alone)
    assert linear.bias is None


def test_tokens_that_tasks_share(tokens):
    mixture, logits = Routed().mixture, torch.randn(2, 3, 7, 5)
    routing = TopKGate(2, noise='none')(logits)
    shared = mixture(tokens[None], routing)
    assert_close(shared, mixture(tokens.expand(2, 3, 7, 16), routing))


def test_precision_of_products():
    """Autocast's where it is on, but double precision is not lowered, and shapes have none."""
    single, double = torch.zeros(1), torch.zeros(1, dtype=torch.float64)
    assert compute_dtype(single) == torch.float32
    with torch.autocast('cpu', torch.bfloat16):
        assert [compute_dtype(x) for x in (single, double, single.to('meta'))] == [
            torch.bfloat16,
            torch.float64,
            torch.float32,
        ]


@pytest.mark.parametrize('top_k', [0, 5])
def test_numbers_of_chosen_experts(top_k):
    with pytest.raises(ValueError, match=f'top_k={top_k}'):
        TokenMixture(8, 8, 4, top_k)
    TokenMixture(8, 8, 4, 4)
