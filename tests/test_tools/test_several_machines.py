"""torchrun over several processes and machines (two agents here), with real trainings; slow."""

import os
import socket
import subprocess
import sys
import time

import pytest

from mlore_mm.engine.checkpoints import read_checkpoint
from tests.shared import REPO
from tests.toy import write_config

pytestmark = pytest.mark.slow
FAILING = """
custom_hooks = [dict(type='FailingHook')]
custom_imports = dict(imports=['mlore_mm', 'tests.toy', 'failing'], allow_failed_imports=False)
"""
HOOK = """
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mlore_mm.registry import HOOKS

@HOOKS.register_module()
class FailingHook(Hook):
    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if get_rank() == 1 and batch_idx == 1:
            raise ValueError('the disk of this machine is on fire')
"""


def free_port() -> str:
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        return str(free.getsockname()[1])


def start(config, work, processes, **environment):
    variables = dict(os.environ, CUDA_VISIBLE_DEVICES='', PYTHON=sys.executable, OMP_NUM_THREADS='1', **environment)
    command = ['bash', str(REPO / 'tools/dist_train.sh'), config, str(processes), '--work-dir', str(work)]
    return subprocess.Popen(
        command, env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=work.parent
    )


def test_one_process_that_fails_ends_all_with_its_message(tmp_path):
    (tmp_path / 'failing.py').write_text(HOOK)
    config = write_config(tmp_path, more=FAILING)
    begin = time.monotonic()
    process = start(config, tmp_path / 'work', 2, PORT=free_port(), PYTHONPATH=str(tmp_path))
    output, _ = process.communicate(timeout=200)
    assert process.returncode != 0
    assert 'error: the disk of this machine is on fire' in output
    assert time.monotonic() - begin < 180


def test_two_machines(tmp_path):
    config = write_config(tmp_path)
    common = dict(PORT=free_port(), NNODES='2', MASTER_ADDR='127.0.0.1')
    nodes = [start(config, tmp_path / f'work{i}', 1, NODE_RANK=str(i), **common) for i in (0, 1)]
    outputs = [node.communicate(timeout=240)[0] for node in nodes]
    assert [node.returncode for node in nodes] == [0, 0], outputs[0][-2000:] + outputs[1][-2000:]
    assert sum(output.count('Checkpoints and logs are in') for output in outputs) == 1
    assert read_checkpoint(tmp_path / 'work0/iter_4.pth')['meta']['iter'] == 4
