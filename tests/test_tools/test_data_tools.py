"""The command lines that check and bake archives."""

import runpy
import shutil
import sys

import numpy as np
import pytest

from tests.shared import REPO
from tests.test_datasets.archives import LABELS, TASKS, write_archive, write_image, write_npy


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


@pytest.fixture
def config(tmp_path):
    write_archive(tmp_path / 'data', ids=[f'f{i}' for i in range(6)], size=(20, 24))
    dataset = dict(type='MultiTaskDataset', data_root=str(tmp_path / 'data'), labels=LABELS, img_suffix='.png')
    loader = dict(dataset=dataset)
    path = tmp_path / 'mine.py'
    path.write_text(f'tasks = {TASKS}\ntrain_dataloader = {loader}\nval_dataloader = {loader}\n')
    return path


def test_a_kind_of_problem_is_told_once_and_the_option_cures_it(monkeypatch, capsys, config):
    for i in range(6):
        write_image(config.parent / f'data/labels/f{i}.png', np.full((20, 24), 11 if i else 1, dtype=np.uint8))
    options = (config, '--workers', 0, '--splits', 'train')
    assert run(monkeypatch, 'check_dataset.py', *options, '--report', config.parent / 'r.txt') == 1
    out = capsys.readouterr().out
    assert out.count('class ids 0 to 4') == 1
    assert 'and 4 more of this kind' in out
    assert 'ignore=(11,)' in out
    assert '5 problems.' in out
    assert (config.parent / 'r.txt').read_text().count('class ids 0 to 4') == 5
    cure = 'train_dataloader.dataset.labels.semseg.ignore=(11,)'
    assert run(monkeypatch, 'check_dataset.py', *options, '--cfg-options', cure) == 0
    assert '0 problems.' in capsys.readouterr().out


def test_every_list_is_checked_although_one_is_bad(monkeypatch, capsys, config):
    bad = 'train_dataloader.dataset.ann_file=none.txt'
    assert run(monkeypatch, 'check_dataset.py', config, '--workers', 0, '--cfg-options', bad) == 1
    out = capsys.readouterr().out
    assert 'problem: Cannot read the split file' in out
    assert '6 samples checked (train 0, val 6), 1 problems.' in out


def test_what_labels_hold_stands_in_a_table_and_a_picture(monkeypatch, capsys, config):
    for i in range(6):
        pixels = np.full((20, 24, 3), (128, 128, 255), dtype=np.uint8)
        pixels[:5] = 255
        write_image(config.parent / f'data/normals/f{i}.png', pixels)
    picture = config.parent / 'labels.png'
    assert run(monkeypatch, 'check_dataset.py', config, '--workers', 0, '--picture', picture) == 0
    out = capsys.readouterr().out
    assert 'normals  6       75.0 %' in out
    assert 'train: warning: normals: 25.0 % of the pixels hold (255, 255, 255)' in out
    assert 'ignore=((255, 255, 255),)' in out
    assert picture.stat().st_size > 1000


def test_labels_that_cannot_be_right_end_with_an_error(monkeypatch, capsys, config):
    for i in range(6):
        write_npy(config.parent / f'data/depth/f{i}.npy', np.linspace(1000, 9000, 480).reshape(20, 24))
    assert run(monkeypatch, 'check_dataset.py', config, '--workers', 0, '--splits', 'val') == 1
    out = capsys.readouterr().out
    assert 'val: error: depth: 100.0 % of the pixels are outside 0 to 80 m: another unit?' in out
    assert '1000 and 0.001 for millimetres' in out


def test_a_photo_that_is_turned_against_its_label_is_named(monkeypatch, capsys, config):
    write_image(config.parent / 'data/images/f3.png', np.zeros((24, 20, 3), dtype=np.uint8))
    assert run(monkeypatch, 'check_dataset.py', config, '--workers', 0, '--splits', 'val') == 1
    assert 'One is turned against the other by a rotation' in capsys.readouterr().out


def test_the_official_file_of_nyud_is_converted(monkeypatch, capsys, tmp_path):
    h5py = pytest.importorskip('h5py', reason='the official file is HDF5')
    with h5py.File(tmp_path / 'labeled.mat', 'w') as file:
        file['images'] = np.zeros((2, 3, 32, 24), dtype=np.uint8)
        for name, kind in dict(depths='f4', rawDepths='f4', labels='u2', instances='u1').items():
            file[name] = np.ones((2, 32, 24), dtype=kind)
    assert run(monkeypatch, 'nyud_v2.py', tmp_path / 'labeled.mat', tmp_path / 'out') == 0
    out = capsys.readouterr().out
    assert '2 frames, SHA-256' in out
    assert 'the official file has 1449 frames and this one 2' in out
    assert '2 frames written, 0 were there.' in out
    assert run(monkeypatch, 'nyud_v2.py', tmp_path / 'labeled.mat', tmp_path / 'out', '--sha256', 'abc') == 1
    assert 'is not the file that is meant' in capsys.readouterr().err
