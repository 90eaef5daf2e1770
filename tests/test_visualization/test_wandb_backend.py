import sys
from types import SimpleNamespace

import numpy as np
import pytest

from mlore_mm.registry import VISUALIZERS


@pytest.fixture
def wandb(monkeypatch):
    """A stand-in that notes what it is told: the package is optional, and talks to a server."""
    logged, axes = [], {}
    module = SimpleNamespace(
        logged=logged,
        axes=axes,
        init=lambda **kwargs: None,
        finish=lambda: logged.append('the end'),
        Image=lambda pixels: pixels.shape,
        log=lambda values, commit: logged.append(values),
        define_metric=lambda name, step_metric=None: axes.update({name: step_metric}),
    )
    monkeypatch.setitem(sys.modules, 'wandb', module)
    return module


def test_everything_carries_its_iteration(wandb, tmp_path):
    visualizer = VISUALIZERS.build(
        dict(
            type='MultiTaskVisualizer',
            name='w',
            save_dir=str(tmp_path),
            vis_backends=[dict(type='mlore_mm.WandbVisBackend')],
        )
    )
    visualizer.add_scalars(dict(loss=2.0, lr=0.1), step=3)
    visualizer.add_scalar('depth/RMSE', 0.5, step=4)
    visualizer.add_image('val_a', np.zeros((2, 3, 3), np.uint8), step=4)
    visualizer.close()
    assert wandb.logged == [
        dict(loss=2.0, lr=0.1, step=3),
        {'depth/RMSE': 0.5, 'step': 4},
        dict(val_a=(2, 3, 3), step=4),
        'the end',
    ]
    assert wandb.axes == {'step': None, '*': 'step'}
