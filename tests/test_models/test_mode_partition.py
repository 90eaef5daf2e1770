"""The partition of entries; numbers are in test_golden_paddynamic.py."""

from contextlib import suppress

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.testing import assert_close

from mlore_mm.models.layers import PadConv2d
from mlore_mm.models.mode_partition import densities, linear_weights, partition


class Net(nn.Module):
    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.convs = nn.ModuleList([PadConv2d(3, 4, 3, num_kernels=2), PadConv2d(4, 5, 3, num_kernels=2)])
        self.norm = nn.BatchNorm2d(4)
        self.batches = [torch.randn(2, 3, 7, 6) for _ in range(2)]
        self.eval()

    def forward(self, x):
        return self.convs[1](F.relu(self.norm(self.convs[0](x))))

    def losses(self):
        return (self(x).square().mean() for x in self.batches)


@pytest.mark.parametrize('score', ['snip', 'grasp', 'synflow', 'magnitude', 'random'])
def test_every_score_keeps_the_density_and_touches_masks_only(score):
    net = Net()
    before = {name: x.clone() for name, x in net.state_dict().items() if not name.endswith('mask')}
    if score == 'synflow':
        with linear_weights(net):
            partition(net.convs, lambda: [net(torch.ones(1, 3, 7, 6)).sum()], 0.3, score=score)
    else:
        partition(net.convs, net.losses, 0.3, score=score)
    entries = sum(conv.mask.numel() for conv in net.convs)
    assert sum(int(conv.mask.sum()) for conv in net.convs) == entries - int(0.7 * entries)
    assert all(torch.equal(net.state_dict()[name], x) for name, x in before.items())
    assert not any(conv.mask.requires_grad for conv in net.convs)
    assert all(x.requires_grad and x.grad is None for x in net.parameters())


def test_grasp_by_finite_differences():
    net, step = Net().double(), 1e-6
    net.batches = [x.double() for x in net.batches]
    history = partition(net.convs, net.losses, 0.5, score='grasp', scope='local')
    for conv in net.convs:
        conv.mask.fill_(1)
    stacks = [conv.kernels for conv in net.convs]

    def gradient():
        return torch.autograd.grad(sum(net.losses()), stacks)

    first = gradient()
    with torch.no_grad():
        for w, g in zip(stacks, first, strict=True):
            w += step * g
    second = gradient()
    with torch.no_grad():
        for w, g in zip(stacks, first, strict=True):
            w -= step * g
    expected = [(w * (b - a) / step).mean(dim=0) for w, a, b in zip(stacks, first, second, strict=True)]
    total = sum(x.sum() for x in expected).abs()
    for ours, wanted in zip(history[0]['scores'], expected, strict=True):
        assert_close(ours, (wanted / total).detach(), rtol=1e-3, atol=1e-6)


def test_static_entries_can_come_back():
    net = Net()
    first = partition(net.convs, net.losses, 0.3)[0]['masks']
    for conv in net.convs:  # the others are better now
        conv.static.data.mul_(20)
    net.batches = [-2 * x for x in net.batches]
    second = partition(net.convs, net.losses, 0.3)[0]['masks']
    assert any(((b == 1) & (a == 0)).any() for a, b in zip(first, second, strict=True))


def test_no_layer_is_left_without_a_dynamic_entry():
    net = Net()
    net.convs[0].kernels.data.mul_(1e-9)
    partition(net.convs, net.losses, 0.3, score='magnitude')
    assert int(net.convs[0].mask.sum()) == 1
    with pytest.warns(UserWarning, match='98 entries dynamic where 86'):
        partition(net.convs, net.losses, 0.3, score='magnitude', kappa_min_per_layer=0.1)
    assert net.convs[0].kappa == pytest.approx(0.1, abs=0.01)


def test_controls():
    plain, inverted, shuffled = (
        partition(net.convs, net.losses, 0.3, control=control)
        for net, control in ((Net(), None), (Net(), 'invert'), (Net(), 'shuffle'))
    )
    for score, other in zip(plain[0]['scores'], inverted[0]['scores'], strict=True):
        assert_close(other, 1 / score)
    for score, other in zip(plain[0]['scores'], shuffled[0]['scores'], strict=True):
        assert not torch.equal(score, other)
        assert_close(score.flatten().sort().values, other.flatten().sort().values)


def test_ties_become_static_and_are_told():
    net = Net()
    for conv in net.convs:
        nn.init.ones_(conv.kernels)
    partition(net.convs, net.losses, 0.5, score='magnitude', scope='local')
    assert [conv.kappa for conv in net.convs] == [0, 0]


def test_too_many_left_is_told():
    net = Net()
    with pytest.warns(UserWarning, match='entries dynamic where'):
        partition(net.convs, net.losses, 0.1, score='magnitude', kappa_min_per_layer=0.5)


def test_masks_without_gradient_are_an_error():
    net = Net()
    with pytest.raises(ValueError, match='masks have no gradient'):
        partition(net.convs, lambda: [torch.zeros((), requires_grad=True) * 1], 0.3)


def test_options_are_checked():
    assert densities(0.25, 2) == pytest.approx([0.5, 0.25])
    assert densities(0.2, 2, 'linear') == pytest.approx([0.6, 0.2])
    with pytest.raises(ValueError, match='0 < density'):
        densities(0, 1)
    net = Net()
    with pytest.raises(ValueError, match="score is one of .*'snap'"):
        partition(net.convs, net.losses, 0.3, score='snap')
    net.convs[0].compact()
    with pytest.raises(ValueError, match='compact already'):
        partition(net.convs, net.losses, 0.3)


def known(*weights):
    """Layers of one kernel whose entries are these."""
    layers = [PadConv2d(1, 1, (1, len(x)), num_kernels=1) for x in weights]
    for layer, x in zip(layers, weights, strict=True):
        layer.kernels.data.copy_(torch.tensor(x).view_as(layer.kernels))
    return layers


@pytest.mark.parametrize(('scope', 'expected'), [('global', ([0, 0, 1, 1], [0, 1])), ('local', ([0, 0, 1, 1], [0, 1]))])
def test_the_largest_stay(scope, expected):
    layers = known([1.0, -2, 3, -4], [0.1, 5])
    partition(layers, None, 0.5, score='magnitude', scope=scope)
    assert [layer.mask.flatten().tolist() for layer in layers] == list(expected)


def test_layers_compete_or_do_not():
    for scope, expected in (('global', [[1, 1, 1, 1], [0, 0, 1, 0]]), ('local', [[0, 0, 1, 1], [0, 0, 1, 1]])):
        layers = known([10.0, 20, 30, 40], [1, 2, 4, 3])
        history = partition(layers, None, 0.5, score='magnitude', scope=scope)
        assert [layer.mask.flatten().tolist() for layer in layers] == expected
        assert history[0]['kappa'] == [sum(x) / 4 for x in expected]


def test_rounds_are_told_one_by_one():
    layers = known([1.0, 2, 3, 4])
    history = partition(layers, None, 0.5, rounds=2, schedule='linear', score='magnitude')
    assert [(step['density'], step['kappa']) for step in history] == [(0.75, [0.75]), (0.5, [0.5])]
    assert partition(layers, None, 1.0, score='magnitude')[0]['kappa'] == [1.0]


def test_a_least_share_is_rounded_up():
    layers = known([10.0, 20, 30, 40], [1, 2, 4, 3])
    partition(layers, None, 0.5, score='magnitude', kappa_min_per_layer=0.26)
    assert [int(layer.mask.sum()) for layer in layers] == [4, 2]  # a quarter more is no warning


def test_snip_is_the_gradient_of_the_mask_summed_over_batches():
    """L = b * sum(M W + (1 - M) S): dL/dM = b (W - S), for batches of 1 and 3; signs are dropped after the sum."""
    (layer,) = known([1.0, -2, 3])
    layer.static.data.copy_(torch.tensor([0.0, 1, 3]).view_as(layer.static))
    layer.mask[..., 1] = 0
    scores = partition([layer], lambda: (b * layer.combine().sum() for b in (1.0, 3.0)), 0.5)[0]['scores']
    assert_close(scores[0].flatten(), torch.tensor([0.25, 0.75, 0.0]))


def test_synflow_by_hand():
    """|W dF/dW| of F = sum(M W): the sizes of the weights that are dynamic, their sum 1."""
    (layer,) = known([1.0, -2, 5])
    layer.mask[..., 2] = 0
    scores = partition([layer], lambda: [layer.combine().sum()], 0.5, score='synflow')[0]['scores']
    assert_close(scores[0].flatten(), torch.tensor([1.0, 2, 0]) / 3)


@pytest.mark.parametrize('options', [dict(density=1.5), dict(rounds=0), dict(schedule='steps')])
def test_partitions_that_cannot_be(options):
    with pytest.raises(ValueError, match='needs 0 < density <= 1, rounds >= 1'):
        densities(**dict(dict(density=0.5, rounds=1), **options))
    assert densities(1, 1) == [1]


@pytest.mark.parametrize('options', [dict(scope='all'), dict(control='reverse')])
def test_choices_that_there_are_not(options):
    with pytest.raises(ValueError, match='score is one of'):
        partition(known([1.0, 2]), None, 0.5, **options)
    with pytest.raises(ValueError, match='no partially dynamic layer'):
        partition([], None, 0.5)


def test_weights_come_back_after_an_error():
    model, seen = nn.Linear(1, 1), []
    nn.init.constant_(model.weight, -2.0)
    with suppress(RuntimeError), linear_weights(model):
        seen.append(model.weight.item())
        raise RuntimeError
    assert (seen, model.weight.item()) == ([2], -2)
