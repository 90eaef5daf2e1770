"""Deformable sampling by hand, and the mixer from its definition."""

import torch
import torch.nn.functional as F
from torch.testing import assert_close

from mlore_mm.models.layers import DeformableMixer, DeformablePointConv
from mlore_mm.models.layers.deformable_mixer import sample_displaced
from tests.mlore_models import randomise


def test_every_channel_is_sampled_at_its_own_place():
    x = torch.randn(2, 3, 4, 5)
    offsets = torch.zeros(2, 6, 4, 5)
    assert_close(sample_displaced(x, offsets), x)
    offsets[:, 1] = 1  # y of the second channel: one row down
    offsets[:, 3 + 2] = -0.5  # x of the third: between two columns
    found = sample_displaced(x, offsets)
    assert_close(found[:, 0], x[:, 0])
    assert_close(found[:, 1, :-1], x[:, 1, 1:])
    assert found[:, 1, -1].abs().max() < 1e-5, 'nothing lies outside'
    assert_close(found[:, 2, :, 1:], (x[:, 2, :, 1:] + x[:, 2, :, :-1]) / 2)
    conv = DeformablePointConv(3, 4)
    assert_close(conv(x), conv.point(x))  # it begins as an ordinary convolution


def test_the_mixer_is_its_definition():
    mixer = DeformableMixer(4, depth=2, kind='dwconv').eval()
    randomise(mixer)
    x = torch.randn(1, 4, 5, 6)
    wanted = x
    for block in mixer.blocks:
        conv, _, norm = block['mix']
        wanted = norm(F.gelu(conv(wanted)))
        (depthwise, point), _, norm = block['look']
        assert depthwise.groups == 4
        wanted = wanted + norm(F.gelu(point(depthwise(wanted))))
    assert len(mixer.blocks) == 2
    assert_close(mixer(x), wanted)
    assert torch.equal(DeformableMixer(4, kind='none')(x), x)


def test_a_map_of_one_pixel_is_sampled():
    x = torch.randn(1, 2, 1, 1)
    assert_close(sample_displaced(x, torch.zeros(1, 4, 1, 1)), x)


def test_offsets_begin_at_zero_again():
    conv = DeformablePointConv(3, 4)
    for parameter in conv.offset.parameters():
        torch.nn.init.ones_(parameter)
    conv.reset_offsets()
    assert conv.offset(torch.randn(1, 3, 4, 4)).abs().max() == 0
