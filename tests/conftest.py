"""Every test starts from the same seeds and leaves the other cores to the other workers."""

import random

import numpy as np
import pytest
import torch

torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _seed():
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002  (mmcv's transforms draw from the global generator)
    torch.manual_seed(0)
