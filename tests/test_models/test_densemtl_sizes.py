"""Parameters and multiplications of DenseMTL's configurations on the meta device, against its published code."""

from importlib import import_module

import pytest
import torch
from mmengine.config import Config
from torch.utils.flop_counter import FlopCounterMode

from mlore_mm.apis.analysis.flops import count_macs
from mlore_mm.registry import MODELS
from mlore_mm.tasks import bind_tasks
from tests.shared import REPO

ENCODER = 42_500_160
ORDER = ['semseg', 'depth', 'normals', 'edge']
TOTALS = {
    ('densemtl_r101_nyud_sd', None): 87_404_114,
    ('densemtl_r101_nyud_sdn', None): 111_011_608,
    ('densemtl_r101_nyud_sdne', None): 135_391_516,
    ('densemtl_r101_cityscapes_sd', None): 87_399_458,
    ('densemtl_r101_cityscapes_sdn', None): 111_006_952,
    ('deeplab_r101_nyud_sdne', ('semseg',)): 58_635_880,
    ('deeplab_r101_nyud_sdne', ('depth',)): 58_625_857,
    ('deeplab_r101_nyud_sdne', ('normals',)): 58_626_371,
    ('deeplab_r101_nyud_sdne', ('edge',)): 58_626_114,
    ('deeplab_r101_nyud_semseg', None): 58_635_880,
    ('deeplab_r101_nyud_sdne', ('semseg', 'depth')): 74_761_577,
    ('deeplab_r101_nyud_sdne', ('semseg', 'depth', 'normals')): 90_887_788,
    ('deeplab_r101_nyud_sdne', None): 107_013_742,
    ('pad-net-plus_r101_nyud_sdne', ('semseg', 'depth')): 87_220_818,
    ('pad-net-plus_r101_nyud_sdne', ('semseg', 'depth', 'normals')): 110_462_488,
    ('pad-net-plus_r101_nyud_sdne', None): 134_293_788,
}


def build(name, tasks=None):
    config = Config.fromfile(REPO / 'configs' / 'densemtl' / f'{name}.py')
    if tasks:
        config.task_names = list(tasks)
    with torch.device('meta'):
        return MODELS.build(bind_tasks(config).model)


def count(module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(('name', 'tasks'), TOTALS, ids=lambda value: value if isinstance(value, str) else None)
def test_published_numbers_of_parameters(name, tasks):
    model = build(name, tasks)
    assert (count(model), count(model.backbone)) == (TOTALS[name, tasks], ENCODER)


def test_published_parts():
    head = build('densemtl_r101_nyud_sdne').decode_head
    decoders = [count(head.decoders[task]) + count(head.predict[task]) for task in ORDER]
    assert decoders == [22_069_200, 22_061_634, 22_062_022, 22_061_828]
    exchange = head.exchanges['1']
    assert count(exchange) == 4_636_672
    assert count(exchange.pairs['semseg']['depth']) == 369_920
    assert count(exchange.join['semseg']) == 49_408
    assert count(build('pad-net-plus_r101_nyud_sdne').decode_head.exchanges) == 3_538_944


def test_published_multiplications(monkeypatch):
    """The published form convolves maps that were doubled and projects what was spread; ours does both before."""
    monkeypatch.syspath_prepend(str(REPO / 'benchmarks'))
    literal = import_module('literal_densemtl')
    model = build('densemtl_r101_nyud_sd').eval()
    head, macs = model.decode_head, count_macs(model, (448, 576))
    levels = [
        torch.zeros(1, c, 448 // s, 576 // s, device='meta')
        for c, s in zip(head.in_channels, literal.STRIDES, strict=True)
    ]
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        literal.literal(head, levels)
    assert macs['total'] / 1e9 == pytest.approx(205.9, abs=0.05)
    assert (macs['encoder'] + counter.get_total_flops() / 2) / 1e9 == pytest.approx(234.2, abs=0.05)
