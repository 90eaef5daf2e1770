import errno
import os
import re

import matplotlib.pyplot as plt
import numpy as np
import pytest
from PIL import Image

from mlore_mm.utils.whole_files import (
    DISK,
    check_writable,
    explain_disk,
    remove_partial,
    write_array,
    write_figure,
    write_picture,
    write_whole,
    written_by_others,
)


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


def test_what_is_easily_made_again_does_not_wait_for_the_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(os, 'fsync', lambda handle: pytest.fail('it waited'))
    write_whole(tmp_path / 'x', b'all', lasting=False)
    write_array(tmp_path / 'x.npy', np.arange(3))
    write_picture(tmp_path / 'x.PNG', np.full((2, 3, 3), (9, 8, 7), np.uint8))
    assert np.load(tmp_path / 'x.npy').tolist() == [0, 1, 2]
    with Image.open(tmp_path / 'x.PNG') as picture:
        assert (picture.format, picture.size, picture.getpixel((0, 0))) == ('PNG', (3, 2), (9, 8, 7))
    figure, axes = plt.subplots(figsize=(2, 1))
    for name, kind in (('f.jpg', 'JPEG'), ('f.PNG', 'PNG')):
        write_figure(tmp_path / name, figure, dpi=50)
        with Image.open(tmp_path / name) as picture:
            assert (picture.format, picture.size) == (kind, (100, 50))
    plt.close(figure)


def test_advice_depends_on_what_is_lost(tmp_path, monkeypatch):
    def full(*args):
        raise OSError(errno.ENOSPC, 'No space left on device')

    monkeypatch.setattr(os, 'replace', full)
    with pytest.raises(ValueError, match=r'\(3.5 MB\): No space.*go on from the last checkpoint \(--resume\)\.$'):
        write_whole(tmp_path / 'x.pth', bytes(3_500_000))
    with pytest.raises(ValueError, match=r'Make room, or give another folder\.$'):
        write_whole(tmp_path / 'x.pth', b'', lasting=False)
    with (
        pytest.raises(ValueError, match='Cannot write .*b.bin: No space left on device; .* MB are free there. Make'),
        written_by_others(tmp_path / 'a/b.bin') as file,
    ):
        file.write_text('x')
    assert os.listdir(tmp_path / 'a') == []


@pytest.mark.parametrize('several', [False, True])
@pytest.mark.parametrize(
    ('error', 'found', 'said'),
    [
        (KeyboardInterrupt('stop'), KeyboardInterrupt, 'stop'),
        (RuntimeError('enforce fail\nat line 5'), ValueError, 'x.pt: enforce fail; .* MB'),
        (RuntimeError(), ValueError, 'x.pt: RuntimeError; .* MB'),
    ],
)
def test_an_interrupted_writer_of_others_leaves_nothing(tmp_path, several, error, found, said):
    def write(fail: bool) -> None:
        with written_by_others(tmp_path / 'x.pt', several=several) as file:
            file.write_text('newer')
            if fail:
                raise error

    (tmp_path / 'x.pt').write_text('older')
    with pytest.raises(found, match=said):
        write(fail=True)
    assert os.listdir(tmp_path) == ['x.pt']
    assert (tmp_path / 'x.pt').read_text() == 'older'
    write(fail=False)
    assert (tmp_path / 'x.pt').read_text() == 'newer'


def test_a_folder_is_tried_before_long_work(tmp_path):
    check_writable(tmp_path / 'new')
    assert os.listdir(tmp_path / 'new') == []
    (tmp_path / 'file').touch()
    with pytest.raises(ValueError, match='Cannot write .*file/.writable_'):
        check_writable(tmp_path / 'file')
    check_writable('s3://bucket/folder')
    assert not os.path.exists('s3:')


def test_errors_of_a_disk_are_told_from_mistakes(tmp_path):
    full = OSError(errno.ENOSPC, 'No space left on device', str(tmp_path / 'x'))
    assert re.fullmatch(r'Cannot write .*/x: No space left on device; \d+ MB are free there\.', explain_disk(full))
    assert explain_disk(OSError(errno.EROFS, 'Read-only')) == 'Cannot write a file: Read-only.'
    assert explain_disk(OSError(errno.ENOSPC, 'Full', b'/none/x')) == 'Cannot write /none/x: Full.'
    assert explain_disk(OSError(errno.EBADF, 'closed')) is None
    assert {errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EIO} < set(DISK)
