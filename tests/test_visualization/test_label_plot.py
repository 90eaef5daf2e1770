from types import SimpleNamespace

import numpy as np
from PIL import Image

from mlore_mm.tasks import Depth, SemSeg
from mlore_mm.visualization.label_plot import draw_labels


def test_every_task_gets_its_bars(tmp_path):
    semseg = SemSeg(name='semseg', out_channels=30).statistics().add(np.arange(30, dtype=np.uint8).reshape(5, 6))
    depth = Depth(name='depth').statistics().add(np.linspace(1, 4, 30, dtype=np.float32).reshape(5, 6))
    surveys = {
        'train': {name: SimpleNamespace(statistics=s) for name, s in (('semseg', semseg), ('depth', depth))},
        'val': {'semseg': SimpleNamespace(statistics=semseg)},
        'test': {},
    }
    draw_labels(surveys, str(tmp_path / 'x.png'))
    picture = np.asarray(Image.open(tmp_path / 'x.png').convert('RGB')).astype(int)
    bars = np.abs(picture - (76, 114, 176)).sum(axis=-1) < 12
    height, width = bars.shape
    quarters = [bars[: height // 2, : width // 2], bars[: height // 2, width // 2 :], bars[height // 2 :, : width // 2]]
    assert all(quarter.any() for quarter in quarters)
    assert not bars[height // 2 :, width // 2 :].any()
