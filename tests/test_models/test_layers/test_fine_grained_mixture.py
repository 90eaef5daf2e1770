"""Fine-grained, shared and global experts: arithmetic by hand, how they start."""

import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

from mlore_mm.models.layers import FineGrainedMixture, GlobalMixture, PadExpertLinear
from mlore_mm.models.layers.fine_grained_mixture import full_precision_linear
from mlore_mm.models.losses import ExpertShareLoss
from mlore_mm.routing import trace_routing
from tests.mlore_models import randomise


def test_worked_example():
    """C = 2, experts of width 1, no norms, v = (1, -1); numbers of the design document."""
    v = torch.tensor([[[1.0, -1.0]]])
    moe = FineGrainedMixture(2, 1, base_experts=4, granularity=1, shared_experts=0, base_top_k=2)
    shared = FineGrainedMixture(2, 1, base_experts=1, granularity=1, shared_experts=0, base_top_k=1)
    both = GlobalMixture(['t'], 2, 1, num_experts=1, top_k=1, gate='sigmoid')
    for module in (moe, shared, both):
        module.norm = torch.nn.Identity()
    with torch.no_grad():
        moe.router.weight.copy_(torch.tensor([[1.0, 0], [0, 1], [0, 0], [0.5, 0]]))
        moe.experts.fc1.weight.copy_(torch.tensor([[1.0, 0], [0, 1], [1, 1], [0.5, -0.5]])[:, None])
        moe.experts.fc2.weight.copy_(torch.tensor([[1.0, 0], [0, 2], [1, 1], [-1, 1]])[..., None])
        expert = F.gelu(torch.tensor(1.0)) * torch.tensor([1.0, -1.0])  # W1 = (2, 1), W2 = (1, -1)
        both.experts.fc1.weight.copy_(torch.tensor([[[1.0, -1.0]]]))
        both.experts.fc2.weight.copy_(torch.tensor([[[1.0], [1.0]]]))
        both.pixel_router.weight.copy_(torch.tensor([[1.0, 0]]))
        both.task_router.weight.copy_(torch.tensor([[2.0, 0]]))
        both.embedding.copy_(torch.tensor([[0.5, 0]]))
        with trace_routing() as trace:
            routed = moe(v, 't')
        total = v + routed + expert + both(v, ['t'])['t']
    wanted = torch.tensor([[0.47399085, 0.06414769, 0.17437149, 0.28748998]])
    assert_close(trace.records[0].flat_probabilities, wanted)
    assert_close(routed[0, 0], torch.tensor([0.15691152, 0.24187818]))
    assert_close(total[0, 0], torch.tensor([3.71977393, 0.12205110]))


def test_experts_partition_one_mlp():
    """All chosen with probability 1: one MLP whose hidden units are those of the experts, side by side."""
    moe = FineGrainedMixture(6, 8, base_experts=2, granularity=4, shared_experts=0, base_top_k=2).double()
    randomise(moe)
    u = torch.randn(2, 5, 6, dtype=torch.float64)
    with torch.no_grad():
        moe.experts.fc2.bias.zero_()
        v = moe.norm(u)
        routing = moe.gate(moe.router(v))
        ones = torch.ones_like(routing.gates)
        found = moe.experts(v, routing._replace(gates=ones, scores=torch.ones_like(routing.scores)))
        hidden = F.gelu(F.linear(v, moe.experts.fc1.weight.flatten(0, 1), moe.experts.fc1.bias.flatten()))
        assert hidden.shape[-1] == 2 * 8
        assert_close(found, F.linear(hidden, moe.experts.fc2.weight.permute(1, 0, 2).flatten(1)))


def test_shared_experts_are_always_on():
    moe = FineGrainedMixture(6, 8, shared_experts=2)
    randomise(moe)
    u = torch.randn(1, 4, 6)
    v = moe.norm(u)
    routed = moe.experts.plain(v, moe.gate(moe.router(v)))
    assert (moe.gate.top_k, len(moe.shared)) == (2, 2)
    assert_close(moe(u, 't'), routed + moe.shared[0](v) + moe.shared[1](v))


def test_global_experts_by_hand():
    moe = GlobalMixture(['a', 'b'], 6, 8, num_experts=4, top_k=2)
    randomise(moe)
    x = torch.randn(1, 3, 6)
    found = moe(x, ['b'])['b']
    v = moe.norm(x)
    p = (v @ moe.pixel_router.weight.t() + moe.embedding[1] @ moe.task_router.weight.t()).softmax(-1)
    for pixel in range(3):
        best = p[0, pixel].topk(2).indices.tolist()
        wanted = sum(p[0, pixel, e] * moe.experts.expert(e, v[0, pixel]) for e in best)
        assert_close(found[0, pixel], wanted)


def deviations(*weights):
    return torch.stack([weight.std() for weight in weights])


def test_start():
    """Deviation 0.02; second layers over the root of the experts at work: 3 chosen and 1 shared, and 2 of all."""
    own = FineGrainedMixture(64, 128)
    both = GlobalMixture(['a', 'b'], 64, 128)
    for module in (own, both):
        for parameter in module.parameters():
            torch.nn.init.ones_(parameter)
        module.init_weights()
    first = deviations(own.router.weight, own.experts.fc1.weight, own.shared[0][0].weight, both.experts.fc1.weight)
    assert_close(first, torch.full((4,), 0.02), rtol=0.1, atol=0)
    second = deviations(own.experts.fc2.weight, own.shared[0][2].weight)
    assert_close(second, torch.full((2,), 0.02 / 2), rtol=0.1, atol=0)
    assert both.experts.fc2.weight.std().item() == pytest.approx(0.02 * 2**-0.5, rel=0.1)
    assert both.embedding.std().item() == pytest.approx(0.02, rel=0.2)
    biases = [p for module in (own, both) for name, p in module.named_parameters() if name.endswith('bias')]
    assert max(p.abs().max() for p in biases if p.shape != own.norm.bias.shape) == 0
    alone = GlobalMixture(['a'], 64, 128, num_experts=1, top_k=1, gate='sigmoid')
    alone.init_weights()
    assert alone.experts.fc2.weight.std().item() == pytest.approx(0.02, rel=0.1)


def test_static_weights_follow_the_start():
    mixture = FineGrainedMixture(8, 8)
    mixture.experts.fc1 = PadExpertLinear.like(mixture.experts.fc1, static_init='mean')
    mixture.init_weights()
    assert_close(mixture.experts.fc1.static, mixture.experts.fc1.weight.mean(dim=0))


def test_the_embedding_of_one_task_is_kept():
    moe = GlobalMixture(['a', 'b', 'c'], 6, 8)
    randomise(moe)
    x = torch.randn(1, 3, 6)
    wanted = moe(x, ['c'])['c']
    moe.keep_task('c')
    assert_close(moe(x, ['c'])['c'], wanted)
    assert moe.embedding.shape == (1, 6)


def test_a_sigmoid_gate_is_recorded():
    moe = GlobalMixture(['a'], 6, 8, num_experts=1, top_k=3, gate='sigmoid', name='g')
    randomise(moe)
    with trace_routing() as trace:
        moe(torch.randn(2, 3, 6), ['a'])
    (record,) = trace.records
    assert (record.layer, record.task) == ('g', 'a')
    assert_close(record.gates, record.logits.sigmoid())
    assert_close(record.probabilities, torch.ones(2, 3, 1))
    assert ExpertShareLoss()(trace).item() == 0, 'one expert has nothing to balance'


def test_routers_decide_in_full_precision():
    x, weight = torch.randn(2, 6), torch.randn(3, 6)
    wanted = F.linear(x, weight)
    with torch.autocast('cpu', torch.bfloat16):
        assert torch.equal(full_precision_linear(x, weight), wanted)
        assert full_precision_linear(x.bfloat16(), weight).dtype == torch.float32
    assert full_precision_linear(x, weight.double()).dtype == torch.float64
