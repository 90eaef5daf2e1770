from types import SimpleNamespace

import torch
import torch.distributed as dist

from mlore_mm.engine import BroadcastBuffersHook
from tests.distributed import run_in_processes


def statistics_after_the_hook() -> list[float]:
    norm = torch.nn.BatchNorm2d(1)
    norm(torch.full((1, 1, 2, 2), 10.0 * (1 + dist.get_rank())))
    BroadcastBuffersHook().before_val_epoch(SimpleNamespace(model=norm))
    return norm.running_mean.tolist()


def test_all_processes_have_the_statistics_of_the_first(tmp_path):
    assert run_in_processes(statistics_after_the_hook, tmp_path) == [[1.0], [1.0]]
