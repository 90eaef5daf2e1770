"""Parameters and multiplications of the published PAD-Net, MTI-Net and their baseline, on the meta device."""

import pytest
from mmengine.config import Config

from mlore_mm.apis.analysis.flops import build_for_counting, count_macs
from mlore_mm.tasks import bind_tasks
from tests.shared import REPO

GROUPS = ('initial', 'scale_0', 'scale_1', 'scale_2', 'scale_3')
# Parameters, and GMAC of an image with the first predictions that the published models compute in evaluation as well.
PUBLISHED = {
    'baselines/hard-sharing_hrnet18s_nyud': (4_019_251, 12.77),
    'baselines/hard-sharing_hrnet18s_pascal': (4_238_213, 14.45),
    'pad_net/pad-net_hrnet18s_nyud': (12_161_332, 168.90),
    'pad_net/pad-net_hrnet18s_nyud_no-aux': (7_019_056, 70.25),
    'pad_net/pad-net_hrnet18s_pascal': (29_304_992, 424.90),
    'pad_net/pad-net_hrnet18s_pascal_small': (12_083_608, 142.86),
    'mti_net/mti-net_hrnet18s_nyud': (14_838_121, 22.88),
    'mti_net/mti-net_hrnet18s_nyud_no-aux': (8_578_179, 17.14),
    'mti_net/mti-net_hrnet18s_pascal': (24_494_171, 30.31),
    'mti_net/mti-net_hrnet18s_pascal_small': (12_645_441, 18.90),
}


SHARING = {
    'sharing/deeplab_r50_nyud': (55_769_449, 266.59),
    'sharing/cross-stitch_r50_nyud': (79_292_841, 383.39),
    'sharing/nddr-cnn_r50_nyud': (101_591_721, 494.43),
    'sharing/mtan_r50_nyud': (72_052_713, 394.31),
    'sharing/deeplab_r18_pascal': (34_795_873, 142.12),
    'sharing/cross-stitch_r18_pascal': (79_525_921, 334.64),
    'sharing/nddr-cnn_r18_pascal': (88_318_561, 373.22),
    'sharing/mtan_r18_pascal': (36_613_425, 159.15),
}
FAST = ('pad_net/pad-net_hrnet18s_nyud', 'mti_net/mti-net_hrnet18s_nyud')
CASES = [name if name in FAST else pytest.param(name, marks=pytest.mark.slow) for name in PUBLISHED]


@pytest.mark.parametrize('name', CASES)
def test_published_numbers(name):
    cfg = bind_tasks(Config.fromfile(REPO / 'configs' / f'{name}.py'))
    model = build_for_counting(cfg)
    parameters, gmac = PUBLISHED[name]
    assert sum(p.numel() for p in model.parameters()) == parameters
    assert sum(p.numel() for p in model.backbone.parameters()) == 3_860_720
    model.decode_head.evaluated_groups = frozenset(GROUPS)
    shape = (480, 640) if 'nyud' in name else (512, 512)
    macs = count_macs(model, shape)
    assert macs['encoder'] / 1e9 == pytest.approx(9.76 if 'nyud' in name else 8.33, abs=0.005)
    assert macs['total'] / 1e9 == pytest.approx(gmac, abs=0.006)


@pytest.mark.slow
def test_a_task_alone_spares_its_messages_and_heads():
    """Of PAD-Net's 169 GMAC half, of MTI-Net's 23 a twentieth: what is propagated is shared by all tasks."""
    for name, share in (('pad_net/pad-net_hrnet18s_nyud', 0.57), ('mti_net/mti-net_hrnet18s_nyud', 0.89)):
        model = build_for_counting(bind_tasks(Config.fromfile(REPO / 'configs' / f'{name}.py')))
        one, both = (count_macs(model, (480, 640), tasks)['total'] for tasks in (['depth'], ['semseg', 'depth']))
        assert one / both == pytest.approx(share, abs=0.02)


@pytest.mark.slow
@pytest.mark.parametrize('name', SHARING)
def test_published_numbers_of_sharing_networks(name):
    model = build_for_counting(bind_tasks(Config.fromfile(REPO / 'configs' / f'{name}.py')))
    parameters, gmac = SHARING[name]
    assert sum(p.numel() for p in model.parameters()) == parameters
    macs = count_macs(model, (480, 640) if 'nyud' in name else (512, 512))
    assert macs['total'] / 1e9 == pytest.approx(gmac, abs=0.006)
