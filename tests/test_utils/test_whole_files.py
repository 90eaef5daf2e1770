import errno
import os

import pytest

from mlore_mm.utils.whole_files import remove_partial, write_whole, written_by_others


def test_bytes_and_text_are_written_in_new_folders(tmp_path):
    write_whole(tmp_path / 'a/b.pth', b'\x00\x01')
    write_whole(tmp_path / 'a/last', 'größe')
    assert (tmp_path / 'a/b.pth').read_bytes() == b'\x00\x01'
    assert (tmp_path / 'a/last').read_text(encoding='utf-8') == 'größe'
    assert sorted(os.listdir(tmp_path / 'a')) == ['b.pth', 'last']


@pytest.mark.parametrize('broken', ['fsync', 'replace'])
def test_a_full_disk_leaves_the_older_file(tmp_path, monkeypatch, broken):
    write_whole(tmp_path / 'x.pth', b'older')

    def full(*args):
        raise OSError(errno.ENOSPC, 'No space left on device')

    monkeypatch.setattr(os, broken, full)
    with pytest.raises(ValueError, match=r'Cannot write .*x.pth \(0.0 MB\): No space left.* MB are free.*untouched'):
        write_whole(tmp_path / 'x.pth', b'newer')
    assert os.listdir(tmp_path) == ['x.pth']
    assert (tmp_path / 'x.pth').read_bytes() == b'older'


def test_the_name_comes_after_the_bytes(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(os, 'fsync', lambda handle: seen.append(sorted(os.listdir(tmp_path))))
    write_whole(tmp_path / 'x.pth', b'all')
    assert seen == [['.x.pth.partial'], ['x.pth']]


def test_what_interrupted_writes_left_is_removed_and_nothing_else(tmp_path):
    for name in ('.x.pth.partial', 'x.pth', 'y.partial', '.hidden'):
        (tmp_path / name).touch()
    assert remove_partial(tmp_path) == ['.x.pth.partial']
    assert sorted(os.listdir(tmp_path)) == ['.hidden', 'x.pth', 'y.partial']


def test_a_writer_of_several_files_gets_the_name_that_it_writes_into_them(tmp_path):
    with written_by_others(tmp_path / 'a.onnx', several=True) as file:
        assert file.name == 'a.onnx'
        file.write_text('a.onnx.data')
        file.with_name('a.onnx.data').write_text('numbers')
        assert list(tmp_path.glob('a.onnx*')) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ['a.onnx', 'a.onnx.data']
