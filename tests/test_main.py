"""`python -m mlore_mm`, in the repository and from an installation somewhere else."""

import os
import shutil
import subprocess
import sys

import pytest

from mlore_mm.__main__ import find_tools, list_tools, main, tools_folder
from tests.shared import REPO


def test_every_script_is_found_under_its_name():
    tools = find_tools(REPO / 'tools')
    scripts = [*REPO.glob('tools/*.py'), *REPO.glob('tools/*/*.py')]
    assert sorted(tools) == sorted(x.stem for x in scripts), 'two tools of one name: one of them cannot be run'
    lines = list_tools(tools).splitlines()
    assert len(lines) == len(scripts)
    assert any(line.split() == ['train', 'Train', 'a', 'multi-task', 'model.'] for line in lines)
    assert all(len(line.split()) > 3 for line in lines), 'a tool without a docstring'


def test_an_installation_brings_its_own_tools(tmp_path):
    """Away from the repository, with the layout of a wheel; the tool's own mistakes and status come through."""
    site, elsewhere = tmp_path / 'site', tmp_path / 'elsewhere'
    elsewhere.mkdir()
    shutil.copytree(REPO / 'mlore_mm', site / 'mlore_mm', ignore=shutil.ignore_patterns('.mim', '__pycache__'))
    shutil.copytree(REPO / 'tools', site / 'mlore_mm' / '.mim' / 'tools')
    (site / 'tools').mkdir()  # of somebody else
    (site / 'tools' / 'train.py').write_text('raise SystemExit(3)')
    env = dict(os.environ, PYTHONPATH=str(site))
    command = [sys.executable, '-m', 'mlore_mm', 'train', 'lost.py']
    done = subprocess.run(command, cwd=elsewhere, env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert 'There is no config file lost.py' in done.stderr


def test_tools_are_listed_with_the_place_of_the_configs(capsys):
    main([])
    out = capsys.readouterr().out
    assert 'check_dataset ' in out
    assert out.splitlines()[-1] == f'Configs are in {tools_folder().parent / "configs"}'


def test_a_misspelt_tool_is_named(capsys):
    with pytest.raises(SystemExit) as end:
        main(['check_datset'])
    assert end.value.code == 2
    assert "no tool 'check_datset'. Did you mean 'check_dataset'?" in capsys.readouterr().err


def test_the_tools_of_this_checkout_are_found():
    assert tools_folder().resolve() == REPO / 'tools'
