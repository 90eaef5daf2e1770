import json
import mmap
import runpy
import subprocess
import sys

import pytest

from mlore_mm.registry import RUNNERS
from tests.shared import REPO
from tests.test_engine.test_runner import load
from tests.tiny import TRAINING, write_rooms, write_tiny

TOOL = REPO / '.dev_scripts/memory_curve.py'
PARTS = runpy.run_path(str(TOOL))


def train(folder, leak=0):
    hook, kept = PARTS['MemoryHook'](interval=5), []
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
    return PARTS['slope'](hook.own)


def test_training_does_not_grow(tmp_path):
    assert train(tmp_path) < 20  # KiB per iteration


def test_a_leak_is_seen(tmp_path):
    assert 80 < train(tmp_path, leak=100_000) < 140


def test_the_whole_decoder_in_training_and_inference(tmp_path, monkeypatch, capsys):
    config, _ = write_tiny(tmp_path, write_rooms(tmp_path / 'data'), TRAINING)
    options = ('--iters', '10', '--inferences', '6', '--limit', '1e6', '--out', str(tmp_path / 'out'))
    monkeypatch.setattr(sys, 'argv', ['memory_curve.py', config, *options])
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(TOOL), run_name='__main__')
    assert end.value.code == 0
    written = json.loads((tmp_path / 'out/memory.json').read_text())
    assert [len(curve) for curve in written['curves'].values()] == [10, 10, 6]
    assert all(megabytes > 1024 for _, megabytes in written['curves']['inference'])
    assert capsys.readouterr().out.count('slope of the second half') == 3
    assert (tmp_path / 'out/memory.png').stat().st_size > 1000


def test_inference_does_not_grow(tmp_path):
    config, checkpoint = write_tiny(tmp_path)
    options = ('--iters', '0', '--inferences', '150', '--limit', '60')  # the sizes of the photos make it rough
    run = subprocess.run(  # a process of its own: how much its convolutions remember is decided at its start
        [sys.executable, str(TOOL), config, checkpoint, *options], capture_output=True, text=True, cwd=REPO
    )
    assert run.returncode == 0, run.stdout[-500:] + run.stderr[-2000:]
    assert 'inference: ' in run.stdout
