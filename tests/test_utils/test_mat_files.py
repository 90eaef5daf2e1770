import os
import struct
import zlib

import numpy as np
import pytest
import scipy.io
from numpy.testing import assert_array_equal

from mlore_mm.utils.mat_files import load_mat, read_label_map
from mlore_mm.utils.mat_structure import checked_content
from tests.test_datasets.archives import annotation, write_mat


def test_class_maps_are_whole_numbers_in_range(tmp_path):
    ids = np.arange(12).reshape(3, 4) * 40
    write_mat(tmp_path / 'x.mat', LabelMap=ids.astype(np.float64))
    assert_array_equal(read_label_map(str(tmp_path / 'x.mat')), ids)
    for values, message in ((ids + 0.5, 'fractions'), (ids + 60, 'ids 60 to 500'), (ids * 1j, 'complex')):
        write_mat(tmp_path / f'{message}.mat', LabelMap=values)
        with pytest.raises(ValueError, match=f'{message}.mat.*{message}'):
            read_label_map(str(tmp_path / f'{message}.mat'))


def test_a_changed_file_is_read_again(tmp_path):
    path = write_mat(tmp_path / 'x.mat', LabelMap=np.zeros((2, 2)))
    assert read_label_map(str(path)).sum() == 0
    write_mat(path, LabelMap=np.ones((2, 2)))
    os.utime(path, ns=(1, 1))
    assert read_label_map(str(path)).sum() == 4


@pytest.mark.parametrize('compressed', [False, True])
def test_sound_files_of_every_shape_pass_the_walk(tmp_path, compressed):
    mask = np.eye(5, dtype=np.uint8)
    content = dict(
        anno=annotation((15, mask, [('head', mask), ('tail', mask)]), (3, mask, [])),
        cells=np.array([np.zeros(3), 'text', np.zeros((0, 0))], dtype=object),
        LabelMap=np.arange(6.0).reshape(2, 3),
        truth=np.array([[True]]),
        small=np.int8(3),
    )
    scipy.io.savemat(tmp_path / 'x.mat', content, do_compression=compressed)
    for name in content:
        assert load_mat(str(tmp_path / 'x.mat'), name).size


def test_a_wrong_type_number_is_an_error_and_not_the_end_of_the_process(tmp_path):
    """SciPy looks the type up in a table without asking whether it is there."""
    path = write_mat(tmp_path / 'x.mat', LabelMap=np.zeros((2, 3), np.uint16))
    data = bytearray(path.read_bytes())
    tag = data.index(b'LabelMap') + 8
    data[tag + 1] = 0x33
    path.write_bytes(data)
    with pytest.raises(ValueError, match='x.mat cannot be read .* 6 numbers have the type 13060'):
        load_mat(str(path), 'LabelMap')


def test_a_variable_larger_than_the_limit_is_refused(tmp_path):
    path = str(write_mat(tmp_path / 'x.mat', LabelMap=np.zeros((20, 20), np.uint8)))
    with pytest.raises(ValueError, match=r'claims the shape \(20, 20\), more than the 99'):
        load_mat(path, 'LabelMap', limit=99)


def test_a_small_element_holds_four_bytes_at_most(tmp_path):
    path = write_mat(tmp_path / 'x.mat', ids=np.zeros((1, 3), np.uint8))
    data = bytearray(path.read_bytes())
    data[data.rindex(bytes((2, 0, 3, 0))) + 2] = 5  # type 2, three bytes, and these themselves, in eight bytes
    path.write_bytes(data)
    with pytest.raises(ValueError, match='x.mat cannot be read .* a small element claims 5 bytes'):
        load_mat(str(path), 'ids')


# ---- every rule of the walk, on files written by hand ----------------------------------------------------------------
def element(kind: int, data: bytes) -> bytes:
    return struct.pack('<II', kind, len(data)) + data + bytes(0 if kind == 15 else -len(data) % 8)


def variable(values: bytes, shape=(1, 2), mx_class=9, kind=2, flags=0, name=b'ids') -> bytes:
    """A matrix of class uint8 whose numbers have the type uint8, unless told otherwise."""
    parts = element(6, struct.pack('<II', mx_class | flags, 0)) + element(5, struct.pack(f'<{len(shape)}i', *shape))
    return element(14, parts + element(1, name) + (element(kind, values) if values is not None else b''))


HEADER = b'MATLAB 5.0 MAT-file'.ljust(124) + b'\0\1IM'


def cells(depth: int) -> bytes:
    """Cells within cells, a number in the innermost."""
    content = variable(b'\5', (1, 1), name=b'')
    for level in range(depth):
        name = b'ids' if level == depth - 1 else b''
        parts = element(6, struct.pack('<II', 1, 0)) + element(5, struct.pack('<2i', 1, 1)) + element(1, name)
        content = element(14, parts + content)
    return content


WALKED = [
    (variable(b'ab')[:-9], 'more than there are'),
    (variable(b'ab') + b'abcd', 'it ends inside a tag at byte'),
    (element(9, bytes(8)), 'a variable has the type 9 at byte 136'),
    (element(15, zlib.compress(element(9, bytes(8)))), 'a compressed variable holds the type 9'),
    (element(15, zlib.compress(variable(b'ab'))[:-4]), 'is cut short'),
    (element(15, b'no stream'), 'a compressed variable is damaged'),
    (variable(b'abc'), '2 numbers have the type 2 and 3 bytes'),
    (variable(b'abcd', kind=4), None),
    (variable(b'ab', kind=8), '2 numbers have the type 8'),
    (variable(b'', shape=(2,)), 'claims the shape'),
    (variable(b'', shape=(-1, 2)), 'claims the shape'),
    (variable(b'', shape=(0, 2)), None),
    (variable(None, shape=(0, 2)), None),
    (variable(None), 'it ends inside a tag'),
    (variable(b'ab', flags=0x0800), 'it holds complex numbers'),
    (variable(b'ab', mx_class=5), 'has the class 5, expected numbers'),
    (variable(b'ab', mx_class=16), 'has the class 16, expected numbers'),
    (variable(b'ab', mx_class=4, kind=9), 'text has the type 9'),
    (variable(b'ab', mx_class=4, kind=16), None),
    (variable(b'ab', mx_class=1), 'a field or cell has the type 2'),
    (cells(20), None),
    (cells(21), 'structs within structs, more than 20'),
    (variable(b'', shape=(2**15, 2**14), mx_class=6), 'claims the shape'),
]


@pytest.mark.parametrize(('content', 'message'), WALKED, ids=[message or 'sound' for _, message in WALKED])
def test_what_does_not_hang_together_is_said(content, message):
    if message is None:
        assert checked_content(HEADER + content, 2**20) == HEADER + content
        assert checked_content(HEADER + element(15, zlib.compress(content)), 2**20) == HEADER + content
    else:
        with pytest.raises(ValueError, match=message):
            checked_content(HEADER + content, 2**20)


def test_numbers_are_read_from_a_file_written_by_hand(tmp_path):
    (tmp_path / 'x.mat').write_bytes(HEADER + variable(b'\3\4'))
    assert load_mat(str(tmp_path / 'x.mat'), 'ids').tolist() == [[3, 4]]
    with pytest.raises(ValueError, match=r"has no variable `other`; it holds \['ids'\]"):
        load_mat(str(tmp_path / 'x.mat'), 'other')
    (tmp_path / 'x.mat').write_bytes(HEADER[:126] + b'XX' + variable(b'\3\4'))
    with pytest.raises(ValueError, match='x.mat cannot be read as a MATLAB file'):
        load_mat(str(tmp_path / 'x.mat'), 'ids')
    with pytest.raises(ValueError, match='does not say the order of bytes'):
        checked_content(HEADER[:126] + b'XX' + variable(b'ab'), 9)
    scipy.io.savemat(tmp_path / 'old.mat', dict(ids=np.zeros(3)), format='4')
    with pytest.raises(ValueError, match='old.mat .*not in MATLAB 5 format; save it with `-v7`'):
        load_mat(str(tmp_path / 'old.mat'), 'ids')


def test_a_compressed_variable_is_refused_by_its_first_bytes():
    """As large as the limit is read; one more is not, whatever follows."""
    packed = element(15, zlib.compress(variable(bytes(64), shape=(8, 8))))
    assert checked_content(HEADER + packed, 64)
    head = variable(bytes(600), shape=(20, 30))[:300]
    with pytest.raises(ValueError, match=r'claims the shape \(20, 30\), more than the 599'):
        checked_content(HEADER + element(15, zlib.compress(head)), 599)


def test_class_maps_end_at_459_and_may_not_be_written_to(tmp_path):
    path = str(write_mat(tmp_path / 'x.mat', LabelMap=np.array([[0, 459]])))
    ids = read_label_map(path)
    assert (ids.dtype, ids.tolist(), ids.flags.writeable) == (np.uint16, [[0, 459]], False)
    assert read_label_map(path) is ids  # the last file is kept
    for name, values, message in (
        ('high', np.array([[460]]), 'ids 460 to 460, expected 0 to 459'),
        ('low', np.array([[-1]]), 'ids -1 to -1'),
        ('deep', np.zeros((2, 2, 2)), r'float64 of shape \(2, 2, 2\)'),
        ('text', 'abc', 'expected ids'),
    ):
        with pytest.raises(ValueError, match=f'{name}.mat: LabelMap .*{message}'):
            read_label_map(str(write_mat(tmp_path / f'{name}.mat', LabelMap=values)))
    with pytest.raises(ValueError, match='Cannot read .*none.mat: No such file'):
        read_label_map(str(tmp_path / 'none.mat'))
