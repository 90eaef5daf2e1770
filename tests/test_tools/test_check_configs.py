import runpy
import sys

import pytest

from tests.shared import REPO

SCRIPT = str(REPO / 'tools' / 'misc' / 'check_configs.py')


def check(monkeypatch, *paths) -> int:
    monkeypatch.setattr(sys, 'argv', [SCRIPT, *map(str, paths)])
    with pytest.raises(SystemExit) as end:
        runpy.run_path(SCRIPT, run_name='__main__')
    return end.value.code


def test_published_model(monkeypatch, capsys):
    assert check(monkeypatch, REPO / 'configs' / 'mlore' / 'mlore_vits_pascal.py') == 0
    assert '42,176,918 parameters, tasks semseg human_parts sal normals edge' in capsys.readouterr().out


def test_channels_that_do_not_fit_are_found(monkeypatch, capsys, tmp_path):
    tiny = REPO / 'configs/m3vit/m3vit_tiny_synthrooms_nyud.py'
    text = f'_base_ = {str(tiny)!r}\nmodel = dict(decode_head=dict(in_channels=64))\n'
    (tmp_path / 'narrow.py').write_text(text)
    assert check(monkeypatch, tmp_path, tiny) == 1
    printed = capsys.readouterr().out
    assert 'decode_head.in_channels=[64], but M3ViT returns [96] channels at in_index=[0]' in printed
    assert '1 of 2 configs are sound' in printed


def test_a_broken_config_is_named_and_fails(monkeypatch, capsys, tmp_path):
    (tmp_path / 'broken.py').write_text("tasks = dict(depth=dict(type='Dpeth'))\nmodel = dict(type='Nothing')\n")
    (tmp_path / '_base_').mkdir()
    (tmp_path / '_base_' / 'part.py').write_text('not even Python')
    assert check(monkeypatch, tmp_path) == 1
    printed = capsys.readouterr().out
    assert 'FAIL' in printed
    assert 'broken.py' in printed
    assert '0 of 1 configs are sound' in printed
    assert check(monkeypatch, tmp_path / 'nowhere') == 2
