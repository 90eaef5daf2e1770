import pytest
import torch
from torch.testing import assert_close

from mlore_mm.models.backbones.mod_squad_vit import Routed
from mlore_mm.models.layers import (
    ExpertLinear,
    ExpertUsage,
    MixtureAttention,
    PadExpertLinear,
    TokenMixture,
    WideAttention,
)
from mlore_mm.models.layers.mixture_attention import reset_experts
from mlore_mm.routing import trace_routing
from mlore_mm.routing.top_k_gate import TopKGate
from tests.shared import REPO


@pytest.mark.parametrize('top_k', [1, 3, 5])
def test_chosen_heads_equal_the_definition(top_k):
    torch.manual_seed(0)
    attention = MixtureAttention(12, 8, 5).double()
    u = torch.randn(2, 3, 7, 12, dtype=torch.float64, requires_grad=True)
    logits = torch.randn(2, 3, 7, 5, dtype=torch.float64, requires_grad=True)
    weights = (u, logits, *attention.parameters())
    results = []
    for form in (attention, attention.plain):
        y = form(u, TopKGate(top_k, noise='none')(logits))
        results.append((y, *torch.autograd.grad(y.square().sum(), weights)))
    for found, wanted in zip(*results, strict=True):
        assert_close(found, wanted)


def test_images_and_tasks_do_not_attend_to_each_other():
    torch.manual_seed(0)
    for attention in (WideAttention(12, 3, 8), MixtureAttention(12, 8, 5)):
        u, routing = torch.randn(2, 3, 7, 12), TopKGate(2, noise='none')(torch.randn(2, 3, 7, 5))
        args = (routing,) if isinstance(attention, MixtureAttention) else ()
        before = attention(u, *args)
        u[1, 2] += 1
        same = (attention(u, *args) - before).flatten(2).abs().amax(dim=2) < 1e-6
        assert same.tolist() == [[True] * 3, [True, True, False]]


def test_usage_is_a_running_sum():
    usage = ExpertUsage(tasks=3, num_experts=4, decay=0.5)
    ids = torch.tensor([[[0, 1], [0, 3]], [[2, 3], [2, 3]]])  # two tasks, two tokens, two experts each
    usage.update(ids, [2, 0])
    usage.update(ids[:1], [2])
    assert usage.count.tolist() == [[0, 0, 1, 1], [0, 0, 0, 0], [1.5, 0.75, 0, 0.75]]
    assert 'count' in usage.state_dict()


def test_published_block():
    """Attention and MLP of a published block, with weights, input and output from tests/data."""
    file = torch.load(REPO / 'tests' / 'data' / 'mod_squad' / 'mlponly_tiny_block0.pth', weights_only=True)
    weights = {key: x.double() for key, x in file['weights'].items()}
    gate = dict(noise='none', prob_eps=1e-4)
    task = file['tasks'][0]
    attention, mlp = MixtureAttention(24, 16, 3), TokenMixture(24, 16, 9, 4)
    for part, mixture, top_k, router in (('attn', attention, 3, 'attn.q_proj'), ('mlp', mlp, 4, 'mlp')):
        layer = Routed(f'backbone/block0/{part}', [task], 24, mixture, dict(gate, top_k=top_k), False).double().eval()
        start = f'blocks.0.{router}.'
        first, second = (attention.query, attention.output) if mixture is attention else (mlp.fc1, mlp.fc2)
        with torch.no_grad():
            for linear, key in ((first, 'experts'), (second, 'output_experts')):
                linear.weight.copy_(weights[f'{start}{key}.w'].transpose(1, 2))
                if linear.bias is not None:
                    linear.bias.copy_(weights[f'{start}{key}.b'])
            layer.router.weight[task].copy_(weights[f'{start}f_gate.0.0.weight'].t())
            if mixture is attention:
                attention.key_value.weight.copy_(weights['blocks.0.attn.kv_proj.0.weight'])
                attention.key_value.bias.copy_(weights['blocks.0.attn.kv_proj.0.bias'])
            wanted, route = file['io'][f'blocks.0.{part}'], file['routes'][f'{task}/blocks.0.{part}']
            with trace_routing() as trace:
                found = layer(wanted['input'][None], [task])[0]
        assert_close(found, wanted['output'], atol=1e-10, rtol=1e-10)
        assert_close(trace.records[0].flat_probabilities, route['probs_plus_eps'], atol=1e-10, rtol=0)
        assert torch.equal(trace.records[0].flat_experts.sort(dim=1).values, route['top_idx'])


def test_wide_attention_is_that_of_pytorch():
    """With heads of the usual width, whose matrices are those of ``nn.MultiheadAttention``."""
    ours, theirs = WideAttention(12, 3, 4), torch.nn.MultiheadAttention(12, 3, batch_first=True)
    theirs.load_state_dict(
        dict(
            in_proj_weight=ours.qkv.weight,
            in_proj_bias=ours.qkv.bias,
            **{f'out_proj.{key}': x for key, x in ours.proj.state_dict().items()},
        )
    )
    x = torch.randn(2, 5, 12)
    assert_close(ours(x), theirs(x, x, x)[0])


def test_published_start_and_what_is_kept():
    """Weights within 1 / fan-in, biases within 1 / sqrt(outputs)."""
    linear = ExpertLinear(3, 50, 400)
    reset_experts(linear)
    assert linear.weight.abs().max().item() == pytest.approx(1 / 50, rel=0.01)
    assert linear.bias.abs().max().item() == pytest.approx(1 / 20, rel=0.01)
    reset_experts(ExpertLinear(3, 50, 400, bias=False))
    partial = PadExpertLinear(3, 4, 6, static_init='mean')
    reset_experts(partial)
    assert_close(partial.static, partial.weight.mean(dim=0))  # follows the new weights
    attention, u = MixtureAttention(12, 8, 5), torch.randn(2, 7, 12)
    order = torch.tensor([4, 2, 0])
    logits = torch.full((2, 7, 5), -9.0).index_copy(-1, order, torch.randn(2, 7, 3))
    wanted = attention(u, TopKGate(2, pre_softmax=True, noise='none')(logits))
    attention.keep_experts(order)
    assert attention.num_experts == 3
    assert_close(attention(u, TopKGate(2, pre_softmax=True, noise='none')(logits[..., order])), wanted)


def test_use_of_one_task_and_some_experts_is_kept():
    usage = ExpertUsage(tasks=3, num_experts=4)
    usage.count.copy_(torch.arange(12.0).view(3, 4))
    usage.keep_experts(1, torch.tensor([3, 0]))
    assert usage.count.tolist() == [[7, 4]]


def test_precision_of_attention():
    attention, u = MixtureAttention(12, 8, 5), torch.randn(2, 7, 12)
    routing = TopKGate(2, noise='none')(torch.randn(2, 7, 5))
    with torch.autocast('cpu', torch.bfloat16):
        y = attention(u, routing)
    assert y.dtype == torch.bfloat16
    assert_close(y.float(), attention(u, routing), atol=0.05, rtol=0.05)
