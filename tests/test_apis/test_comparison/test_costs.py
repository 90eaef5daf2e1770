"""Parameters and latency of a run."""

from types import SimpleNamespace

import pytest

from mlore_mm.apis.comparison import costs
from mlore_mm.apis.comparison.costs import parameter_counts


def test_frozen_parameters_are_told_apart():
    from torch import nn

    model = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 1))
    model[0].requires_grad_(False)
    assert parameter_counts(model) == dict(trainable=3, frozen=8)


class Module:
    """A model without a form of deployment."""

    training = True

    def eval(self):
        self.training = False


def test_latency_is_the_median_of_three(monkeypatch):
    speeds, asked = iter([4.0, 100.0, 5.0]), []

    def measure(model, batches, warmup):
        asked.append(([batch['inputs'][0].shape for batch in batches], warmup, model.training))
        return next(speeds)

    monkeypatch.setattr(costs, 'images_per_second', measure)
    assert costs._latency(Module(), (32, 64)) == 200  # ms
    assert asked == [([(3, 32, 64)] * 5, 2, False)] * 3
    assert costs._padded(SimpleNamespace(data_preprocessor=SimpleNamespace(size_divisor=32)), (33, 64)) == (64, 64)
    assert costs._try(lambda: 1 / 2) == 0.5
    assert costs._try(lambda: [].x) is None
    with pytest.raises(ZeroDivisionError):
        costs._try(lambda: 1 / 0)
