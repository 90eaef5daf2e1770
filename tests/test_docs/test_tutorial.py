import os
import subprocess
import sys

from tests.shared import REPO


def test_tutorial_runs(tmp_path):
    env = dict(os.environ, TUTORIAL_OUT=str(tmp_path), TUTORIAL_STEPS='2', TUTORIAL_ROOMS='4', PYTHONPATH=str(REPO))
    done = subprocess.run([sys.executable, 'docs/tutorial.py'], cwd=REPO, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    for words in ('measured by odsF', 'trivial', 'median', 'busiest expert'):
        assert words in done.stdout
    assert (tmp_path / 'panel.png').stat().st_size > 1000
