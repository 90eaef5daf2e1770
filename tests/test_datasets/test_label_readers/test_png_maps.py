import numpy as np
import pytest
from numpy.testing import assert_array_equal
from PIL import Image

from mlore_mm.datasets.label_readers import IdMapReader, LabelBoundaryReader, MaskReader
from tests.test_datasets.archives import write_image


def ids(tmp_path, values, dtype=np.uint8):
    return str(write_image(tmp_path / 'x.png', np.array(values, dtype=dtype)))


def test_ids_are_shifted_and_ignored(tmp_path):
    reader = IdMapReader('labels', offset=-1, ignore=(0, 255))
    label = reader.read(ids(tmp_path, [[0, 1], [40, 255]]))
    assert label.dtype == np.uint8
    assert_array_equal(label, [[255, 0], [39, 255]])


def test_255_is_no_label_whatever_else_is_ignored(tmp_path):
    path = ids(tmp_path, [[1, 1, 11, 2, 2, 255]])
    assert_array_equal(IdMapReader('x', ignore=(11,)).read(path), [[1, 1, 255, 2, 2, 255]])
    assert_array_equal(LabelBoundaryReader('x', ignore=(11,)).read(path), [[0, 0, 255, 0, 0, 255]])
    reader = IdMapReader('x', id_map={255: 3}, ignore=(0,))
    assert_array_equal(reader.read(ids(tmp_path, [[255, 0]])), [[3, 255]])


def test_ids_are_renumbered_by_a_map(tmp_path):
    reader = IdMapReader('labels', id_map={7: 0, 300: 1}, ignore=(65535,))
    assert_array_equal(reader.read(ids(tmp_path, [[7, 300, 65535]], np.uint16)), [[0, 1, 255]])


def test_values_without_a_meaning_are_named(tmp_path):
    with pytest.raises(ValueError, match=r'x.png holds the values \[3, 9\], which stand for no class here'):
        IdMapReader('labels', id_map={7: 0}).read(ids(tmp_path, [[7, 3, 9]]))
    with pytest.raises(ValueError, match=r'the values \[300\]'):
        IdMapReader('labels').read(ids(tmp_path, [[300, 7]], np.uint16))
    with pytest.raises(ValueError, match=r'the values \[0\]'):
        IdMapReader('labels', offset=-1).read(ids(tmp_path, [[0, 7]]))


def test_colours_instead_of_ids_are_refused(tmp_path):
    path = str(write_image(tmp_path / 'x.png', np.zeros((3, 4, 3), dtype=np.uint8)))
    for reader in (IdMapReader('x'), MaskReader('x'), LabelBoundaryReader('x')):
        with pytest.raises(ValueError, match=r'x.png has shape \(3, 4, 3\), expected one value per pixel.*not colours'):
            reader.read(path)


def test_palette_files_hold_ids(tmp_path):
    image = Image.fromarray(np.array([[0, 3]], dtype=np.uint8))
    image.putpalette([255, 0, 0] * 4)
    image.save(tmp_path / 'x.png')
    assert_array_equal(IdMapReader('x').read(str(tmp_path / 'x.png')), [[0, 3]])


@pytest.mark.parametrize('threshold', [0.0, 0.25, 0.5, 0.999])
def test_a_mask_is_what_exceeds_the_threshold(tmp_path, threshold):
    grey = np.arange(256, dtype=np.uint8).reshape(16, 16)
    mask = MaskReader('x', threshold=threshold).read(ids(tmp_path, grey))
    assert mask.dtype == np.uint8
    assert_array_equal(mask, grey / 255.0 > threshold)


def test_a_mask_of_sixteen_bits_is_refused(tmp_path):
    with pytest.raises(ValueError, match='x.png is uint16, expected an 8-bit'):
        MaskReader('x').read(ids(tmp_path, [[0, 65535]], np.uint16))


def test_boundaries_lie_on_both_sides_of_a_change_but_not_beside_ignored_pixels(tmp_path):
    path = ids(tmp_path, [[1, 1, 2, 2, 9, 3], [1, 1, 2, 2, 9, 3], [4, 4, 4, 4, 9, 3]])
    label = LabelBoundaryReader('x', ignore=(9,)).read(path)
    assert_array_equal(label, [[0, 1, 1, 0, 255, 0], [1, 1, 1, 1, 255, 0], [1, 1, 1, 1, 255, 0]])


def test_boundaries_are_thinned_on_request(tmp_path):
    regions = np.repeat([[1, 2, 9]], 6, axis=0).repeat(5, axis=1)
    label = LabelBoundaryReader('x', ignore=(9,), thin_lines=True).read(ids(tmp_path, regions))
    assert_array_equal((label == 1).sum(axis=1)[1:-1], 1)
    assert_array_equal(label == 255, regions == 9)


def test_what_is_encoded_reads_back(tmp_path):
    mask = np.array([[0, 1], [1, 0]], dtype=np.uint8)
    assert_array_equal(MaskReader('x').read(ids(tmp_path, MaskReader.encode(mask))), mask)
    reader, label = IdMapReader('x', offset=-1, ignore=(0,)), np.array([[0, 39], [255, 7]], dtype=np.uint8)
    assert_array_equal(reader.encode(label), [[1, 40], [0, 8]])
    assert_array_equal(reader.read(ids(tmp_path, reader.encode(label))), label)


def test_codes_in_the_file():
    assert IdMapReader('x', offset=-1).code(3) == '4'
    assert IdMapReader('x', id_map={7: 3}).code(3) == 'the key of 3 in id_map'


def test_the_smallest_code_and_the_first_marker_are_written():
    reader = IdMapReader('x', id_map={9: 1, 4: 1, 300: 2}, ignore=(77, 88))
    assert reader.encode(np.array([[1, 2, 255]], np.uint8)).tolist() == [[4, 300, 77]]
    assert IdMapReader('x').encode(np.array([[0, 254, 255]], np.uint8)).tolist() == [[0, 254, 255]]
    assert IdMapReader('x').encode(np.array([[0]], np.uint8)).dtype == np.uint8


def test_a_faint_mask_is_told_from_one_of_0_and_1(tmp_path):
    path = ids(tmp_path, [[0, 1]])
    for threshold in (0.004, 0.5):
        with pytest.raises(ValueError, match='holds 0 and 1 only'):
            MaskReader('x', threshold=threshold).read(path)
    assert_array_equal(MaskReader('x', threshold=0.003).read(path), [[0, 1]])
    assert_array_equal(MaskReader('x').read(ids(tmp_path, [[0, 2]])), [[0, 0]])
    assert_array_equal(MaskReader('x').read(ids(tmp_path, [[0, 0]])), [[0, 0]])


def test_labels_up_to_254(tmp_path):
    assert_array_equal(IdMapReader('x').read(ids(tmp_path, [[0, 254]], np.uint16)), [[0, 254]])
    with pytest.raises(ValueError, match=r'the values \[256\]'):
        IdMapReader('x', offset=-1).read(ids(tmp_path, [[256, 255]], np.uint16))
