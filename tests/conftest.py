"""Every test starts from the same seeds, without the last one's leftovers, on one core."""

import mlore_mm  # noqa: F401  (before mmengine, whose import it shortens)

# isort: split
import random

import numpy as np
import pytest
import torch
from mmengine.logging import MessageHub, MMLogger
from mmengine.registry import DefaultScope
from mmengine.visualization import Visualizer

torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _seed():
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002  (mmcv's transforms draw from the global generator)
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def _no_leftovers():
    """mmengine keeps the scope, the logger, the visualizer and the message hub of a run for the next one.

    The handlers of a logger write to streams that pytest has closed by then.
    """
    yield
    for manager in (DefaultScope, MMLogger, MessageHub, Visualizer, *Visualizer.__subclasses__()):
        manager._instance_dict.clear()
