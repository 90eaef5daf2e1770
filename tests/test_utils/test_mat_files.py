import os

import numpy as np
import pytest
import scipy.io
from numpy.testing import assert_array_equal

from mlore_mm.utils.mat_files import load_mat, read_label_map
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
