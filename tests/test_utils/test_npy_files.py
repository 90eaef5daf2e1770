import io

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from mlore_mm.utils.npy_files import read_npy


def as_bytes(array) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


@pytest.mark.parametrize('array', [np.arange(6.0).reshape(2, 3), np.asfortranarray(np.arange(6).reshape(2, 3))])
@pytest.mark.parametrize('dtype', ['<f4', '>f8', '<u2', '|u1'])
def test_arrays_come_back_and_may_be_changed(tmp_path, array, dtype):
    (tmp_path / 'x.npy').write_bytes(as_bytes(array.astype(dtype)))
    found = read_npy(str(tmp_path / 'x.npy'))
    assert_array_equal(found, array)
    found[0] = 7


HEADER = as_bytes(np.zeros((2, 3), np.float32))
DAMAGE = {
    'bytes behind the array': HEADER + b'\0\0\0\0',
    'a second array': HEADER * 2,
    'bytes missing': HEADER[:-1],
    'a shape of truth values': HEADER.replace(b'(2, 3)', b'(True,6)'[:6]),
    'another header': HEADER.replace(b"'shape'", b"'shope'"),
    'open brackets': HEADER.replace(b'(2, 3)', b'(((((('),
    'a huge shape': HEADER.replace(b'(2, 3), }   ', b'(2,9**999) }'),
    'a zip archive that is none': b'PK\x03\x04' + HEADER,
    'version 9': HEADER[:6] + b'\x09\0' + HEADER[8:],
}


@pytest.mark.parametrize('damage', DAMAGE)
def test_whatever_is_wrong_names_the_file(tmp_path, damage):
    (tmp_path / 'x.npy').write_bytes(DAMAGE[damage])
    with pytest.raises(ValueError, match='x.npy (cannot be read as a .npy array|is an archive)'):
        read_npy(str(tmp_path / 'x.npy'))


@pytest.mark.parametrize('shape', [(), (0,), (0, 3), (2, 0, 4)])
def test_arrays_without_numbers_and_the_second_version_of_the_format(tmp_path, shape):
    array = np.ones(shape, np.int16)
    (tmp_path / 'x.npy').write_bytes(as_bytes(array))
    assert read_npy(str(tmp_path / 'x.npy')).shape == shape
    file = io.BytesIO()
    np.lib.format.write_array(file, array, version=(2, 0))
    (tmp_path / 'x.npy').write_bytes(file.getvalue())
    found = read_npy(str(tmp_path / 'x.npy'))
    assert (found.dtype, found.shape) == (np.int16, shape)
    file = io.BytesIO()
    np.lib.format.write_array(file, array, version=(3, 0))
    (tmp_path / 'x.npy').write_bytes(file.getvalue())
    with pytest.raises(ValueError, match=r'version \(3, 0\), expected \(1, 0\) or \(2, 0\)'):
        read_npy(str(tmp_path / 'x.npy'))


def test_objects_and_other_sizes_are_named(tmp_path):
    for data, message in (
        (as_bytes(np.array([None])), 'it holds Python objects'),
        (HEADER.replace(b'(2, 3)', b'(2,-3)'), r'claims the shape \(2, -3\)'),
        (HEADER + b'\0', r'claims float32 of shape \(2, 3\), which are 24 bytes, but 25 follow'),
    ):
        (tmp_path / 'x.npy').write_bytes(data)
        with pytest.raises(ValueError, match=message):
            read_npy(str(tmp_path / 'x.npy'))
