"""Parameters and multiplications of the published M3ViT models, on the meta device."""

import pytest
from mmengine.config import Config

from mlore_mm.apis.analysis.flops import build_for_counting, count_macs
from mlore_mm.tasks import bind_tasks
from tests.shared import REPO

# Encoder, decoders, task attention, all; GMAC of semseg alone: encoder, decoder with its logits.
PUBLISHED = {
    'm3vit_vits_pascal': (43_463_040, 13_298_721, 47_221_314, 103_983_075, 31.8, 51.6 + 0.35),
    'm3vit_vitb_pascal': (171_860_736, 17_726_241, 23_610_657, 213_197_634, 107.1, 52.5 + 0.35),
    'm3vit_vits_nyud': (43_420_032, 5_326_633, 23_055_483, 71_802_148, 39.2, 60.5 + 0.79),
    'm3vit_vitb_nyud': (171_774_720, 7_097_641, 23_055_483, 201_927_844, 129.4, 61.6 + 0.79),
    'm3vit-conditioned_vits_pascal': (43_326_400, 13_298_721, 0, 56_625_121, 31.8, 51.6 + 0.35),
    'm3vit_vitti_pascal': (11_114_688, 11_084_961, 0, 22_199_649, 10.4, 51.2 + 0.35),
    'm3vit_vits_nyud_4tasks': (43_493_760, 10_643_757, 0, 54_137_517, 39.2, 60.5 + 0.79),
}


@pytest.mark.parametrize('name', PUBLISHED)
def test_published_numbers(name):
    cfg = bind_tasks(Config.fromfile(REPO / 'configs' / 'm3vit' / f'{name}.py'))
    model = build_for_counting(cfg)
    *parameters, encoder, decoder = PUBLISHED[name]
    head = model.decode_head
    assert [sum(p.numel() for p in m.parameters()) for m in (model.backbone, head.decoders, head.attention, model)] == (
        parameters
    )
    macs = count_macs(model, cfg.crop_size, ['semseg'])
    # The gated sum of the experts' biases is a product of ours, 0.08 GMAC in ViT-B.
    assert macs['encoder'] / 1e9 == pytest.approx(encoder, abs=0.1)
    assert macs['decoder'] / 1e9 == pytest.approx(decoder, abs=0.06)


def test_all_tasks_of_the_published_model():
    """417.7 GMAC by five passes; what does not depend on the task is computed once in the folded call."""
    cfg = bind_tasks(Config.fromfile(REPO / 'configs' / 'm3vit' / 'm3vit_vits_pascal.py'))
    model = build_for_counting(cfg)
    folded = count_macs(model, cfg.crop_size)['total']
    model.folded_tasks = False
    passes = count_macs(model, cfg.crop_size)['total']
    assert passes / 1e9 == pytest.approx(417.7, abs=0.3)
    assert folded < passes - 4 * 4e9
