"""The exchange of DenseMTL against its definition, written out; published numbers are in test_golden_densemtl.py."""

import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

from mlore_mm.models.layers import CorrelationAttention, CrossTaskExchange
from mlore_mm.models.layers.cross_task_exchange import PairExchange

TASKS = ['a', 'b', 'c']


def randomised(module):
    """In evaluation mode, all numbers drawn: also those that start as 0 or 1."""
    generator = torch.Generator().manual_seed(0)
    for tensor in [*module.parameters(), *(b for b in module.buffers() if b.is_floating_point())]:
        tensor.data = torch.rand(tensor.shape, generator=generator, dtype=torch.float64) - 0.3 * (tensor.ndim > 1)
    return module.double().eval()


def maps(h=8, w=12, channels=6):
    generator = torch.Generator().manual_seed(1)
    return {t: torch.randn(2, channels, h, w, generator=generator, dtype=torch.float64) for t in TASKS}


def literal_pair(pair: PairExchange, target, source):
    """The definition step by step, with the upsampled map and the concatenation."""
    y, parts = F.relu(pair.extract(source)), []
    if pair.self_attention is not None:
        parts.append(pair.self_attention.gate(y).sigmoid() * pair.self_attention.value(y))
    if pair.correlation is not None:
        found = pair.correlation.plain(target, y)
        parts.append(F.interpolate(found, scale_factor=pair.stride)[..., : target.shape[2], : target.shape[3]])
    return F.relu(pair.norm(pair.project(torch.cat(parts, dim=1))))


@pytest.mark.parametrize(
    'options',
    [
        {},
        dict(self_attention='full'),
        dict(self_attention=False),
        dict(correlation=False),
        dict(learned_scale=False),
    ],
)
@pytest.mark.parametrize('combine', ['add', 'prod', 'concat'])
def test_every_published_switch_computes_the_definition(options, combine):
    exchange, features = randomised(CrossTaskExchange(TASKS, 6, stride=4, combine=combine, **options)), maps()
    for target, ours in exchange(features, TASKS).items():
        own = features[target]
        taken = [
            literal_pair(exchange.pairs[target][source], own, features[source]) for source in TASKS if source != target
        ]
        joined = exchange.join[target](torch.cat([own] * (combine == 'concat') + taken, dim=1))
        assert_close(ours, dict(add=own + joined, prod=own * joined, concat=joined)[combine])


def test_the_width_of_the_self_attention():
    half, full = (PairExchange(8, 4, self_attention=value) for value in (True, 'full'))
    assert half.self_attention.gate.out_channels == 4
    assert full.self_attention.gate.out_channels == 8


def test_nothing_is_taken_by_correlation_at_the_start():
    pair, features = PairExchange(6, 4).eval(), {t: x.float() for t, x in maps().items()}
    before = pair(features['a'], features['b'])
    assert_close(pair(features['c'], features['b']), before)
    pair.correlation.alpha.data.fill_(1)
    assert not torch.allclose(pair(features['c'], features['b']), before)


@pytest.mark.parametrize('size', [(7, 9), (4, 13), (1, 1)])
def test_sizes_that_the_stride_does_not_divide(size):
    attention = randomised(CorrelationAttention(6, stride=4))
    target, source = (x[..., : size[0], : size[1]] for x in list(maps(8, 16).values())[:2])
    found = attention(target, source)
    assert found.shape[-2:] == (-(-size[0] // 4), -(-size[1] // 4))
    assert_close(found, attention.plain(target, source))


def test_gradients_are_those_of_the_plain_form():
    attention, features = randomised(CorrelationAttention(6, stride=2)), list(maps().values())
    gradients = [
        torch.autograd.grad(form(*features[:2]).square().sum(), list(attention.parameters()))
        for form in (attention, attention.plain)
    ]
    assert_close(*gradients)


def test_a_pair_without_a_branch_is_refused():
    with pytest.raises(ValueError, match='self_attention, correlation, or both'):
        PairExchange(8, 4, self_attention=False, correlation=False)
    with pytest.raises(ValueError, match="'add', 'prod', 'concat'"):
        CrossTaskExchange(TASKS, 8, 4, combine='sum')
