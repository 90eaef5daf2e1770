import pytest
import torch
from torch import nn
from torch.testing import assert_close

from mlore_mm.models.decode_heads import PerTaskHead
from mlore_mm.models.features import Features
from mlore_mm.registry import MODELS
from mlore_mm.tasks import TaskSet

TASKS = TaskSet(dict(semseg=dict(type='SemSeg', out_channels=3), depth=dict(type='Depth')))


@MODELS.register_module(force=True)
class SumHead(nn.Module):
    def __init__(self, out_channels: int, gain: float = 1.0) -> None:
        super().__init__()
        self.out_channels, self.gain = out_channels, gain

    def forward(self, levels):
        return self.gain * levels[0].sum(dim=1, keepdim=True).repeat(1, self.out_channels, 1, 1)


def test_every_task_has_a_decoder_with_its_channels_and_features():
    head = PerTaskHead(TASKS, [2], dict(type='SumHead'), heads=dict(depth=dict(gain=2.0)))
    x = torch.randn(1, 2, 4, 4)
    feats = Features(shared=(x,), per_task=dict(depth=(x + 1,)))
    logits = head(feats).logits
    assert logits['semseg'].shape == (1, 3, 4, 4)
    assert_close(logits['semseg'][:, :1], x.sum(1, keepdim=True))
    assert_close(logits['depth'], 2 * (x + 1).sum(1, keepdim=True))
    assert list(head(feats, ['depth']).logits) == ['depth']


def test_a_head_of_mmsegmentation_fits():
    config = dict(type='mmseg.FCNHead', in_channels=4, channels=8, num_convs=1, norm_cfg=dict(type='BN'))
    head = PerTaskHead(TASKS, [4], dict(config, in_index=0)).eval()
    logits = head((torch.randn(2, 4, 8, 8),)).logits
    assert {name: tuple(x.shape) for name, x in logits.items()} == dict(semseg=(2, 3, 8, 8), depth=(2, 1, 8, 8))


def test_an_unknown_task_is_named():
    with pytest.raises(ValueError, match='edge'):
        PerTaskHead(TASKS, [2], dict(type='SumHead'), heads=dict(edge=dict(gain=2.0)))
