"""Learned scales of the losses, worked by hand."""

import math

import pytest
import torch
from torch.testing import assert_close

from mlore_mm.registry import MODELS
from tests.test_models.test_losses.two_tasks import TASKS, losses_of


@pytest.mark.parametrize(('dtype', 'expected'), [(torch.float64, torch.float64), (torch.bfloat16, torch.float32)])
def test_learned_scales_are_squared_in_full_precision(dtype, expected):
    """1.1 squared is 1.21; L / (2 * 1.21) + log(1 + 1.21) of L = 2."""
    weighting = MODELS.build(dict(type='LearnedScaleWeighting', tasks=TASKS)).to(dtype)
    weighting.scales.data.fill_(1.1)
    stored = weighting.scales[0].item()
    found = weighting(dict(semseg=torch.tensor(2.0, dtype=expected)))['semseg']
    assert found.dtype == expected
    assert found.item() == pytest.approx(2 / (2 * stored**2) + math.log1p(stored**2), rel=1e-6)


def test_learned_scales_are_scaled_by_the_weights_of_the_losses():
    weighting = MODELS.build(dict(type='LearnedScaleWeighting', tasks=TASKS, scale_by_loss_weight=True))
    assert_close(dict(weighting(losses_of(2, 3))), losses_of(2 / 2 + math.log(2), 4 * 3 / 2 + math.log(2)))
    plain = MODELS.build(dict(type='LearnedScaleWeighting', tasks=TASKS))
    assert_close(dict(plain(losses_of(2, 3))), losses_of(2 / 2 + math.log(2), 3 / 2 + math.log(2)))
