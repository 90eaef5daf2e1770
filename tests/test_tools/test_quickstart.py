import runpy

import pytest

from mlore_mm.tasks import Depth, SemSeg, TaskSet
from tests.shared import REPO

quickstart = runpy.run_path(str(REPO / 'tools' / 'quickstart.py'))


def test_gain_is_above_one_where_better():
    depth, semseg = Depth(name='depth'), SemSeg(name='semseg')
    assert quickstart['gain'](depth, dict(value=0.5, trivial=1.0)) == 2
    assert quickstart['gain'](semseg, dict(value=20.0, trivial=10.0)) == 2
    assert quickstart['gain'](semseg, dict(value=20.0, trivial=0.0)) == float('inf')
    assert quickstart['gain'](semseg, dict(value=0.0, trivial=0.0)) == 0


def test_summary_and_table(capsys):
    tasks = TaskSet(dict(semseg=dict(type='SemSeg'), depth=dict(type='Depth')))
    metrics, trivial = ({'semseg/mIoU': a, 'semseg/mAcc': 1.0, 'depth/RMSE': b} for a, b in ((25.0, 0.5), (5.0, 1.0)))
    summary = quickstart['summarise'](tasks, metrics, trivial)
    assert summary == dict(
        semseg=dict(metric='mIoU', value=25.0, trivial=5.0), depth=dict(metric='RMSE', value=0.5, trivial=1.0)
    )
    quickstart['print_table'](tasks, summary)
    lines = capsys.readouterr().out.splitlines()
    assert lines[2].split() == ['semseg', 'mIoU', '↑', '25.000', '5.000', '5.000', '2.500']
    assert lines[3].split() == ['depth', 'RMSE', '(m)', '↓', '0.500', '1.000', '2.000', '1.333']


@pytest.mark.parametrize('layout', ['nyud', 'pascal'])
def test_every_task_of_the_configs_has_a_bar(layout):
    from mmengine.config import Config

    cfg = Config.fromfile(str(REPO / f'configs/mlore/mlore_tiny_synthrooms_{layout}.py'))
    assert set(cfg.tasks) <= set(quickstart['BARS'])
