"""OMP_WAIT_POLICY is set when torch is first imported, whatever command line imports it."""

import json
import os
import subprocess
import sys

import torch

from mlore_mm.utils.threads import describe_threads, wait_passively
from tests.shared import REPO

# Loads each script up to its first import of torch, and prints what the policy is at that point.
PROBE = """
import json, os, runpy, sys

class Reached(BaseException):
    pass

class StopAtTorch:
    def find_spec(self, name, path=None, target=None):
        if name == 'torch':
            raise Reached

sys.meta_path.insert(0, StopAtTorch())
kept, policies = set(sys.modules), {}
for script in sys.argv[1:]:
    try:
        runpy.run_path(script, run_name='probe')
    except Reached:
        policies[script] = os.environ.pop('OMP_WAIT_POLICY', None)
    except ImportError:  # an optional package of a demo
        pass
    for name in set(sys.modules) - kept:
        if name.startswith(('mlore_mm', 'mm', 'photo_page')):
            del sys.modules[name]
print(json.dumps(policies))
"""


def test_command_lines_set_the_wait_policy_before_torch():
    paths = [*REPO.glob('tools/**/*.py'), *REPO.glob('demo/*.py')]
    scripts = [x.relative_to(REPO).as_posix() for x in paths if x.name != 'onnx_demo.py']  # that needs no torch
    env = {key: value for key, value in os.environ.items() if key != 'OMP_WAIT_POLICY'}
    env['PYTHONPATH'] = f'{REPO}{os.pathsep}{REPO / "demo"}'
    command = [sys.executable, '-c', PROBE, *scripts]
    done = subprocess.run(command, env=env, cwd=REPO, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    policies = json.loads(done.stdout.splitlines()[-1])
    assert {'tools/train.py', 'tools/test.py', 'tools/quickstart.py', 'demo/image_demo.py'} <= set(policies)
    assert set(policies.values()) == {'PASSIVE'}, policies


def test_a_choice_of_the_user_stays(monkeypatch):
    monkeypatch.setenv('OMP_WAIT_POLICY', 'ACTIVE')
    wait_passively()
    assert os.environ['OMP_WAIT_POLICY'] == 'ACTIVE'


def test_the_number_of_threads_is_described(monkeypatch):
    monkeypatch.setattr(torch, 'get_num_threads', lambda: 1)
    assert describe_threads().startswith('1 thread on ')
    monkeypatch.setattr(torch, 'get_num_threads', lambda: 3)
    assert describe_threads().startswith('3 threads on ')


def test_cores_are_those_of_this_process(monkeypatch):
    monkeypatch.setattr(torch, 'get_num_threads', lambda: 2)
    monkeypatch.setattr(os, 'sched_getaffinity', {0: {3}, 1: {0, 1, 2}}.get, raising=False)
    assert describe_threads() == '2 threads on 1 core'
    monkeypatch.delattr(os, 'sched_getaffinity')
    monkeypatch.setattr(os, 'cpu_count', lambda: None)
    assert describe_threads() == '2 threads on 1 core'
