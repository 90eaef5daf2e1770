import pytest
import torch
from torch.testing import assert_close

from mlore_mm.models.layers import FeaturePropagation, SqueezeExcite

LOGITS = torch.randn(2, 3 * 16, 2, 4, dtype=torch.float64)  # three tasks of 16 channels


def test_weights_of_the_tasks_add_up_to_one():
    weights = FeaturePropagation('abc', 16).weights(LOGITS)
    assert_close(sum(weights[:, 16 * a : 16 * a + 16] for a in range(3)), torch.ones(2, 16, 2, 4).double())


def test_legacy_weights_of_neighbours_add_up_to_one():
    weights = FeaturePropagation('abc', 16, legacy_layout=True).weights(LOGITS)
    sums = [weights[:, 3 * i : 3 * i + 3].sum(dim=1) for i in range(16)]
    assert_close(torch.stack(sums), torch.ones(16, 2, 2, 4).double())
    assert (weights - FeaturePropagation('abc', 16).weights(LOGITS)).abs().max() > 0.1


def test_squeeze_and_excite_by_hand():
    layer = SqueezeExcite(18)
    assert layer.squeeze.out_features == 1
    torch.nn.init.zeros_(layer.excite.weight)
    torch.nn.init.constant_(layer.excite.bias, 2.0)
    x = torch.randn(2, 18, 3, 5)
    assert_close(layer(x), x * torch.tensor(2.0).sigmoid())
    with pytest.raises(ValueError, match='none is left of channels=15 with reduction=16'):
        SqueezeExcite(15)


@pytest.mark.parametrize('legacy', [False, True])
def test_what_goes_on_is_the_definition(legacy):
    block = FeaturePropagation('ab', 16, legacy_layout=legacy).double().eval()
    features = {name: torch.randn(2, 16, 3, 5, dtype=torch.float64) for name in 'ba'}
    joint = torch.cat([features['a'], features['b']], dim=1)
    shared = block.reduce(block.weights(block.mask(joint)) * joint)
    wanted = {name: block.squeeze_excite[name](shared) + features[name] for name in 'ab'}
    assert_close(block(features), wanted)
    assert not isinstance(block.reduce.downsample, torch.nn.Identity)
    assert block.mask[0].conv1.out_channels == 2 * 16 // 4


def test_hidden_units_of_squeeze_and_excite():
    """Means over the map, relu, sigmoid; as many channels as the reduction leave one unit."""
    layer, x = SqueezeExcite(16), torch.randn(2, 16, 3, 5)
    hidden = (x.mean(dim=(2, 3)) @ layer.squeeze.weight.t() + layer.squeeze.bias).relu()
    weights = (hidden @ layer.excite.weight.t() + layer.excite.bias).sigmoid()
    assert_close(layer(x), x * weights[..., None, None])
    assert [SqueezeExcite(n).squeeze.out_features for n in (31, 32)] == [1, 2]
