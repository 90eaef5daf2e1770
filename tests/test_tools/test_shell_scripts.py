"""The launchers, with stand-ins for Python and srun that print how they were called."""

import os
import subprocess

import pytest

from tests.shared import REPO

TOOLS = REPO / 'tools'


@pytest.fixture
def call(tmp_path):
    for name in ('python', 'srun'):
        stand_in = tmp_path / name
        stand_in.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
        stand_in.chmod(0o755)

    def call(script: str, *args: str, **env: str) -> subprocess.CompletedProcess:
        path = f'{tmp_path}{os.pathsep}{os.environ["PATH"]}'
        clean = {k: v for k, v in os.environ.items() if k not in ('PYTHON', 'GPUS', 'GPUS_PER_NODE', 'PORT')}
        return subprocess.run(
            ['bash', str(TOOLS / script), *args], env={**clean, 'PATH': path, **env}, capture_output=True, text=True
        )

    return call


def test_torchrun_on_one_machine(call):
    words = call('dist_train.sh', 'my config.py', '4', '--cfg-options', 'a="[1, 2]"').stdout.splitlines()
    assert words[:2] == ['-m', 'torch.distributed.run']
    assert {'--nnodes=1', '--node_rank=0', '--master_addr=127.0.0.1', '--nproc_per_node=4'} <= set(words)
    start = words.index(str(TOOLS / 'train.py'))
    assert words[start + 1 :] == ['my config.py', '--launcher', 'pytorch', '--cfg-options', 'a="[1, 2]"']


def test_torchrun_on_several_machines(call):
    env = dict(NNODES='2', NODE_RANK='1', MASTER_ADDR='10.0.0.1', PORT='1234')
    words = call('dist_test.sh', 'c.py', 'c.pth', '8', '--tta', **env).stdout.splitlines()
    assert {'--nnodes=2', '--node_rank=1', '--master_addr=10.0.0.1', '--master_port=1234'} <= set(words)
    assert words[-5:] == ['c.py', 'c.pth', '--launcher', 'pytorch', '--tta']


def test_slurm(call):
    env = dict(GPUS='16', GPUS_PER_NODE='8', SRUN_ARGS='--qos high --exclusive')
    words = call('slurm_train.sh', 'gpu', 'my job', 'c.py', '--amp', **env).stdout.splitlines()
    assert {'--job-name=my job', '--gres=gpu:8', '--ntasks=16', '--ntasks-per-node=8'} <= set(words)
    assert words[:2] == ['-p', 'gpu']
    assert {'--qos', 'high', '--exclusive'} <= set(words)
    assert words[-6:] == ['-u', str(TOOLS / 'train.py'), 'c.py', '--launcher', 'slurm', '--amp']
    words = call('slurm_test.sh', 'gpu', 'job', 'c.py', 'c.pth', '--out', 'x').stdout.splitlines()
    assert '--ntasks=4' in words
    assert words[-7:] == [str(TOOLS / 'test.py'), 'c.py', 'c.pth', '--launcher', 'slurm', '--out', 'x']


@pytest.mark.parametrize('script', ['dist_train.sh', 'dist_test.sh', 'slurm_train.sh', 'slurm_test.sh'])
def test_too_few_words_show_the_usage(call, script):
    done = call(script, 'c.py')
    assert done.returncode == 2
    assert 'usage:' in done.stderr
