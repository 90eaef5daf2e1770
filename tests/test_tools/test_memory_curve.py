import mmap
import runpy

from mlore_mm.registry import RUNNERS
from tests.shared import REPO
from tests.test_engine.test_runner import load

MemoryHook = runpy.run_path(str(REPO / 'tools/misc/memory_curve.py'))['MemoryHook']


def train(folder, leak=0):
    hook, kept = MemoryHook(interval=5), []
    runner = RUNNERS.build(load(folder, **{'train_cfg.max_iters': 150, 'train_cfg.val_interval': 999}))
    runner.register_hook(hook)

    def keep(
        *unused,
    ):  # fresh pages: what earlier tests freed could take an ordinary object without the process growing
        kept.append(mmap.mmap(-1, leak, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))
        kept[-1].write(b'1' * leak)

    if leak:
        runner.model.register_forward_hook(keep)
    runner.train()
    return hook.slopes()[0]


def test_training_does_not_grow(tmp_path):
    assert train(tmp_path) < 2  # MB per 100 iterations


def test_a_leak_is_seen(tmp_path):
    assert 8 < train(tmp_path, leak=100_000) < 14
