import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

from mlore_mm.models.layers import LevelFusionHead


@pytest.mark.parametrize('train', [True, False])
def test_levels_are_upsampled_and_joined(train):
    head = LevelFusionHead([3, 5, 4], 2).double().train(train)
    torch.nn.init.normal_(head.fuse.norm.bias)
    levels = [torch.randn(2, c, s, s + 2, dtype=torch.float64) for c, s in ((3, 8), (5, 4), (4, 1))]
    size = levels[0].shape[-2:]
    joined = torch.cat([F.interpolate(x, size=size, mode='bilinear', align_corners=False) for x in levels], dim=1)
    assert_close(head(levels), head.predict(head.fuse.norm(head.fuse.conv(joined)).relu()))
