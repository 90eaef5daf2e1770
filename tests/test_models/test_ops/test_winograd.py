import pytest
import torch
from torch.testing import assert_close

from mlore_mm.models.ops import winograd
from mlore_mm.models.ops.winograd import Conv, convs3x3, plain_convs3x3, winograd_convs3x3, winograd_pays

CONVS = [
    Conv(0, 0),
    Conv(0, 1, rows=torch.tensor([1, 4])),
    Conv(0, 2, detached=True),
    Conv(1, 1, rows=torch.tensor([0, 1, 5])),
    Conv(1, 2),
    Conv(1, 1, rows=torch.tensor([], dtype=torch.int64)),
]


def maps_and_kernels(h=6, w=4, channels=5, out=(3, 6, 4), dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    shapes = [(2, channels, h, w), *((o, channels, 3, 3) for o in out)]
    return [torch.randn(s, dtype=dtype, generator=generator, requires_grad=True) for s in shapes]


@pytest.mark.parametrize('size', [(6, 4), (5, 7), (1, 1), (2, 3), (8, 1)])
def test_outputs_and_gradients_are_those_of_the_plain_form(size):
    results = []
    for function in (plain_convs3x3, winograd_convs3x3):
        x, *weights = maps_and_kernels(*size)
        out = function(x, weights, CONVS)
        sum((y * torch.linspace(-1, 1, y.numel(), dtype=y.dtype).view_as(y)).square().sum() for y in out).backward()
        results.append((out, x.grad, [w.grad for w in weights]))
    assert_close(results[1], results[0])


def test_more_channels_than_are_computed_at_once():
    x, *weights = maps_and_kernels(out=(500, 6, 4), dtype=torch.float32)
    assert_close(winograd_convs3x3(x, weights, CONVS), plain_convs3x3(x, weights, CONVS), atol=1e-4, rtol=1e-4)


def test_single_precision_loses_no_more_than_the_plain_form_by_much():
    """At the published width; errors against fp64, relative to the largest output."""
    x, *weights = maps_and_kernels(32, 32, channels=452, out=(16, 6, 4), dtype=torch.float32)
    exact = plain_convs3x3(x.double(), [w.double() for w in weights], CONVS)
    errors = []
    for function in (plain_convs3x3, winograd_convs3x3):
        out = function(x, weights, CONVS)
        errors.append(max((a - b).abs().max() / b.abs().max() for a, b in zip(out[:5], exact[:5], strict=True)).item())
    assert errors[1] < max(3 * errors[0], 2e-6), errors


def test_a_part_without_gradient_gets_none():
    x, *weights = maps_and_kernels()
    weights[0].requires_grad_(False)
    sum(y.sum() for y in winograd_convs3x3(x, weights, CONVS)).backward()
    assert weights[0].grad is None
    assert weights[1].grad is not None
    assert x.grad is not None


@pytest.mark.parametrize('case', ['half', 'autocast', 'small', 'few channels', 'large'])
def test_form_is_chosen_by_size_and_precision(case, monkeypatch):
    """Winograd's form is for full precision and large maps; whichever is taken, the result is the same."""
    taken = []
    monkeypatch.setattr('mlore_mm.models.ops.winograd.has_bf16', lambda: True)
    monkeypatch.setattr(
        'mlore_mm.models.ops.winograd.winograd_convs3x3', lambda *a: taken.append(1) or winograd_convs3x3(*a)
    )
    h, channels = (8 if case == 'small' else 16), (8 if case == 'few channels' else 256)
    x, *weights = maps_and_kernels(
        h, h, channels, (600, 6, 4), dtype=torch.bfloat16 if case == 'half' else torch.float32
    )
    with torch.autocast('cpu', torch.bfloat16, enabled=case == 'autocast'):
        out = convs3x3(x, weights, CONVS)
        plain = plain_convs3x3(x, weights, CONVS)
    assert bool(taken) == (case == 'large')
    assert_close(out, plain, atol=1e-3, rtol=1e-4)


def test_winograds_form_is_one_step_of_a_graph():
    torch._dynamo.reset()
    x = torch.randn(2, 256, 16, 16)
    kernels = [torch.randn(256, 256, 3, 3) for _ in range(2)]
    convs = [Conv(0, 1), Conv(1, 0)]
    steps = []

    def backend(graph, inputs):
        steps.extend(str(node.target) for node in graph.graph.nodes if node.op == 'call_function')
        return graph

    with torch.no_grad():
        found = torch.compile(lambda x: convs3x3(x, kernels, convs), backend=backend, fullgraph=True)(x)
        assert_close(found, plain_convs3x3(x, kernels, convs), atol=1e-3, rtol=1e-4)
    assert any('winograd_convs3x3' in step for step in steps)


@pytest.mark.parametrize(
    ('case', 'pays'),
    [('large', True), ('double', True), ('few pixels', False), ('few pairs', False), ('chosen rows', False)]
    + [('half', False), ('another device', False), ('two maps', False)],
)
def test_when_it_pays(case, pays):
    """From 60,000 pairs of channels per map and 256 pixels on, as measured; both bounds included."""
    dtype = dict(double=torch.float64, half=torch.float16).get(case, torch.float32)
    device = 'meta' if case == 'another device' else 'cpu'
    x = torch.empty(
        2 if case == 'two maps' else 1, 240, 16, 15 if case == 'few pixels' else 16, dtype=dtype, device=device
    )
    weights = [torch.empty(249 if case == 'few pairs' else 250, 240, 3, 3, dtype=dtype, device=device)]
    rows = torch.arange(249) if case == 'chosen rows' else None
    assert winograd_pays(x, weights, [Conv(0, 0, rows)]) is pays


@pytest.mark.parametrize('stated', ['autocast', 'bf16'])
def test_imitated_half_precision_is_computed_in_full(stated, monkeypatch):
    """Without instructions for bf16 the sums are those of fp32, rounded once; fp64 and fp16 stay what they are."""
    monkeypatch.setattr(winograd, 'has_bf16', lambda: False)
    x, kernel = torch.randn(1, 64, 6, 6), torch.randn(8, 64, 3, 3)
    x, kernel = (x.bfloat16(), kernel.bfloat16()) if stated == 'bf16' else (x, kernel)
    with torch.autocast('cpu', torch.bfloat16, enabled=stated == 'autocast'):
        (found,) = convs3x3(x, [kernel], [Conv(0, 0)])
        (exact,) = convs3x3(x.double(), [kernel.double()], [Conv(0, 0)])
    assert found.dtype == torch.bfloat16
    assert torch.equal(found, torch.nn.functional.conv2d(x.float(), kernel.float(), padding=1)[0].bfloat16())
    assert exact.dtype == torch.float64
    with torch.autocast('cpu', torch.float16):
        assert convs3x3(x.float(), [kernel.float()], [Conv(0, 0)])[0].dtype == torch.float16
