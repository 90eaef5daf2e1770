import torch
from torch.testing import assert_close

from mlore_mm.models.layers import Distillation


def literal(module, features):
    """Pair by pair, as it is written."""
    out = {}
    for t in module.receivers:
        out[t] = features[t]
        for a in module.givers:
            if a != t:
                out[t] = out[t] + module.gate[t][a](features[a]).sigmoid() * module.value[t][a](features[a])
    return out


def test_it_is_the_sum_over_pairs():
    for bias in (False, True):
        module = Distillation(['x', 'y'], ['x', 'z', 'y'], 6, bias=bias).double()
        features = {name: torch.randn(2, 6, 5, 7, dtype=torch.float64) for name in 'xyz'}
        assert_close(module(features), literal(module, features))
        with torch.no_grad():  # computed in another way
            assert_close(module(features), literal(module, features))
        assert_close(module(features, ['y']), {'y': literal(module, features)['y']})


def test_a_task_alone_keeps_its_features():
    features = dict(x=torch.randn(1, 4, 3, 3))
    assert_close(Distillation(['x'], ['x'], 4)(features), features)
