import pytest
import torch
from torch.testing import assert_close

from mlore_mm.models.layers import PredictionHead, StageFusion, prediction_head
from tests.mlore_models import randomise


def test_equal_stages_come_out_as_they_are():
    """Weights sum to one at every pixel, so the fusion of equal maps is that map."""
    fusion, x = StageFusion(['semseg'], 8, 4).eval(), torch.randn(2, 8, 3, 5)
    randomise(fusion)
    assert_close(fusion([x] * 4, 'semseg'), x)


def test_a_stage_that_wins_everywhere_is_taken():
    fusion, stages = StageFusion(['semseg'], 8, 3).eval(), list(torch.randn(3, 2, 8, 3, 5))
    randomise(fusion)
    torch.nn.init.zeros_(fusion.score['semseg'].weight)
    fusion.score['semseg'].bias.data = torch.tensor([0.0, 60.0, 0.0])
    assert_close(fusion(stages, 'semseg'), stages[1])


def test_prediction_head_by_hand():
    head, x = PredictionHead(8, 3).eval(), torch.randn(2, 8, 3, 5)
    randomise(head)
    large = torch.nn.functional.interpolate(x, scale_factor=4, mode='bilinear', align_corners=False)
    large = torch.nn.functional.conv2d(large, head.conv.weight, head.conv.bias, padding=1)
    assert_close(head(x), head.predict(torch.nn.functional.gelu(head.norm(large))), atol=1e-5, rtol=1e-5)


def test_the_large_maps_are_computed_twice_in_training_only(monkeypatch):
    asked = []
    monkeypatch.setattr(prediction_head, 'recompute', lambda function, x, norms: asked.append(norms) or function(x))
    head, x = PredictionHead(8, 3), torch.randn(2, 8, 3, 5)
    head.eval()(x)
    assert asked == []
    head.train()(x)
    assert asked == [(head.norm,)]


def test_the_fusion_is_its_definition():
    fusion, stages = StageFusion(['semseg', 'depth'], 8, 3).eval(), list(torch.randn(3, 2, 8, 3, 5))
    randomise(fusion)
    x = fusion.norm['depth'](fusion.squeeze['depth'](torch.cat(stages, dim=1)))
    weights = fusion.score['depth'](torch.nn.functional.gelu(x)).softmax(dim=1)
    assert_close(fusion(stages, 'depth'), torch.einsum('bshw,sbchw->bchw', weights, torch.stack(stages)))


def test_start_and_scale_of_the_last_layers():
    head = PredictionHead(32, 3, scale=1)
    torch.nn.init.ones_(head.conv.bias)
    head.init_weights()
    assert head.conv.weight.std().item() == pytest.approx(0.02, rel=0.1)
    assert head.conv.bias.abs().max() == 0
    assert head(torch.zeros(2, 32, 3, 5)).shape == (2, 3, 3, 5)
    assert not PredictionHead(8, 3, with_cp=False).with_cp
    with pytest.raises(ValueError, match='scale=0 of the decode head'):
        PredictionHead(8, 3, scale=0)
