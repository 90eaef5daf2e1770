"""The command lines that check and bake archives."""

import runpy
import shutil
import sys

import pytest

from tests.shared import REPO
from tests.test_datasets.archives import LABELS, TASKS, write_archive


def run(monkeypatch, tool, *args) -> int:
    script = str(REPO / 'tools/dataset_converters' / tool)
    monkeypatch.setattr(sys, 'argv', [script, *map(str, args)])
    with pytest.raises(SystemExit) as end:
        runpy.run_path(script, run_name='__main__')
    return end.value.code


@pytest.fixture
def pascal(tmp_path):
    return shutil.copytree(REPO / 'tests/data/pascal', tmp_path / 'PASCALContext')


def test_a_sound_archive_passes(monkeypatch, capsys, pascal):
    options = ('--dataset', 'pascal_context', '--splits', 'train', '--workers', 1)
    assert run(monkeypatch, 'check_dataset.py', pascal, *options, '--any-count') == 0
    assert '1 samples checked (train 1), 0 problems.' in capsys.readouterr().out
    assert run(monkeypatch, 'check_dataset.py', pascal, *options) == 1
    assert "problem: Split 'train' lists 1 samples; the published one has 4998." in capsys.readouterr().out


def test_problems_are_listed_and_written(monkeypatch, capsys, pascal, tmp_path):
    (pascal / 'sal_distill/2008_000007.png').write_bytes(b'')
    options = ('--dataset', 'pascal_context', '--splits', 'train', '--workers', 1, '--any-count')
    assert run(monkeypatch, 'check_dataset.py', pascal, *options, '--report', tmp_path / 'report.txt') == 1
    assert '1 problems' in capsys.readouterr().out
    assert 'sal_distill/2008_000007.png is empty (0 bytes)' in (tmp_path / 'report.txt').read_text()


def test_baking_says_what_it_wrote(monkeypatch, capsys, pascal):
    assert run(monkeypatch, 'bake_pascal_context.py', pascal, '--splits', 'train', '--workers', 1) == 0
    assert '3 files written to' in capsys.readouterr().out
    (pascal / 'human_parts/2008_000007.mat').write_bytes(b'x')
    assert run(monkeypatch, 'bake_pascal_context.py', pascal, '--splits', 'train', '--workers', 1, '--overwrite') == 1
    assert 'problem: ' in capsys.readouterr().out


@pytest.mark.parametrize('tool', ['check_dataset.py', 'bake_pascal_context.py'])
def test_a_wrong_root_is_an_error_without_a_traceback(monkeypatch, capsys, tmp_path, tool):
    options = ('--dataset', 'nyud') if tool == 'check_dataset.py' else ()
    assert run(monkeypatch, tool, tmp_path / 'none', *options) == 1
    assert 'does not exist' in capsys.readouterr().err


def test_the_data_of_a_config_is_checked(monkeypatch, capsys, tmp_path):
    write_archive(tmp_path / 'data')
    dataset = dict(type='MultiTaskDataset', data_root=str(tmp_path / 'data'), labels=LABELS, img_suffix='.png')
    loader = dict(dataset=dataset)
    config = tmp_path / 'mine.py'
    config.write_text(f'tasks = {TASKS}\ntrain_dataloader = {loader}\nval_dataloader = {loader}\n')
    assert run(monkeypatch, 'check_dataset.py', config, '--workers', 0) == 0
    out = capsys.readouterr().out
    assert 'train: 3 images, labels: semseg 3, depth 3, normals 3' in out
    assert '6 samples checked (train 3, val 3), 0 problems.' in out
    (tmp_path / 'data/labels/b.png').write_bytes(b'')
    assert run(monkeypatch, 'check_dataset.py', config, '--workers', 0, '--splits', 'val') == 1
    assert 'problem: ' in capsys.readouterr().out


def test_a_folder_needs_the_name_of_its_layout(monkeypatch, capsys, tmp_path):
    assert run(monkeypatch, 'check_dataset.py', tmp_path) == 2
    assert 'give its config' in capsys.readouterr().err
