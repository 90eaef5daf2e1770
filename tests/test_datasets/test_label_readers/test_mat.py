import numpy as np
import pytest
import scipy.io
from numpy.testing import assert_array_equal

from mlore_mm.datasets.label_readers import ContextEdgeReader, ContextNormalsReader, HumanPartsReader
from mlore_mm.datasets.label_readers.mat import laplacian, load_mat
from mlore_mm.datasets.pascal_classes import HUMAN_PARTS, NORMALS_CLASSES
from tests.test_datasets.archives import annotation, write_image, write_mat

FLOOR, SKY = 158, 360
PERSON, TABLE = 15, 11


def box(window):
    mask = np.zeros((8, 10), dtype=np.uint8)
    mask[window] = 1
    return mask


def test_the_tables_are_complete():
    assert len(HUMAN_PARTS) == 24
    assert len(NORMALS_CLASSES) == 170
    assert FLOOR in NORMALS_CLASSES
    assert SKY not in NORMALS_CLASSES


def test_parts_of_persons_are_drawn_one_over_the_other(tmp_path):
    person = (PERSON, box(np.s_[:4]), [('torso', box(np.s_[:4])), ('lhand', box(np.s_[1:3, 2:4]))])
    other = (PERSON, box(np.s_[6:]), [('rfoot', box(np.s_[7:]))])
    table = (TABLE, box(np.s_[5]), [('hair', box(np.s_[5]))])
    whole = (PERSON, box(np.s_[4]), [])
    path = write_mat(tmp_path / 'x.mat', anno=annotation(table, person, other, whole))
    label = HumanPartsReader('x').read(str(path))
    expected = 2 * box(np.s_[:4]) + 6 * box(np.s_[7:])
    expected[1:3, 2:4] = 4
    assert label.dtype == np.uint8
    assert_array_equal(label, expected)


def test_files_without_persons_and_without_objects(tmp_path):
    nobody = write_mat(tmp_path / 'nobody.mat', anno=annotation((TABLE, box(np.s_[:2]), [])))
    assert_array_equal(HumanPartsReader('x').read(str(nobody)), np.zeros((8, 10)))
    nothing = write_mat(tmp_path / 'nothing.mat', anno=annotation())
    assert HumanPartsReader('x').read(str(nothing)) is None


def test_unknown_parts_and_other_structs_are_named(tmp_path):
    path = write_mat(tmp_path / 'x.mat', anno=annotation((PERSON, box(np.s_[:]), [('tail', box(np.s_[:]))])))
    with pytest.raises(ValueError, match="x.mat has a person with the part 'tail'"):
        HumanPartsReader('x').read(str(path))
    path = write_mat(tmp_path / 'y.mat', anno=annotation((PERSON, box(np.s_[:]), [('hair', np.ones((3, 3)))])))
    with pytest.raises(ValueError, match=r"y.mat: the mask of 'hair' is \(3, 3\), that of the object \(8, 10\)"):
        HumanPartsReader('x').read(str(path))
    for content in (np.zeros((8, 10)), dict(things=3), dict(objects=np.ones((2, 2)))):
        path = write_mat(tmp_path / 'z.mat', anno=content)
        with pytest.raises(ValueError, match='z.mat: `anno` is not the struct of PASCAL-Part'):
            HumanPartsReader('x').read(str(path))


def test_the_laplacian_by_hand():
    values = np.array([[1, 1, 5], [1, 1, 1]], dtype=np.uint16)  # the neighbour outside is the one across the pixel
    assert_array_equal(laplacian(values), [[0, 4, -16], [0, 0, 8]])
    assert_array_equal(laplacian(np.array([[7]], dtype=np.uint8)), [[0]])


def test_the_edge_between_two_regions_is_one_line(tmp_path):
    label_map = np.full((9, 12), FLOOR, dtype=np.uint16)
    label_map[:, 6:] = SKY
    label = ContextEdgeReader('x').read(str(write_mat(tmp_path / 'x.mat', LabelMap=label_map)))
    assert label.dtype == np.uint8
    assert_array_equal(label[1:-1].sum(axis=1), 1)
    assert set(np.flatnonzero(label.any(axis=0))) <= {5, 6}


def test_normals_are_kept_where_the_class_is_trusted(tmp_path):
    levels = np.full((4, 6, 3), 200, dtype=np.uint8)
    label_map = np.full((4, 6), SKY, dtype=np.uint16)
    label_map[:, :2] = FLOOR
    reader = ContextNormalsReader('normals', context_dir='context')
    write_image(tmp_path / 'normals/a.png', levels)
    write_mat(tmp_path / 'context/a.mat', LabelMap=label_map)
    label = reader.read(*reader.paths(str(tmp_path), 'a'))
    assert_array_equal(label[:, 2:], 0)
    assert_array_equal(label[:, :2], np.float32(200) * 2 / 255 - 1)


def test_normals_and_context_of_two_sizes_are_named(tmp_path):
    normals = write_image(tmp_path / 'a.png', np.zeros((4, 6, 3), dtype=np.uint8))
    context = write_mat(tmp_path / 'a.mat', LabelMap=np.zeros((6, 4), dtype=np.uint16))
    with pytest.raises(ValueError, match=r'a.png is \(4, 6\) \(H, W\), but .*a.mat is \(6, 4\)'):
        ContextNormalsReader('x', context_dir='y').read(str(normals), str(context))


def test_a_changed_file_is_read_again(tmp_path):
    path, label_map = tmp_path / 'x.mat', np.zeros((5, 6), dtype=np.uint16)
    assert not ContextEdgeReader('x').read(str(write_mat(path, LabelMap=label_map))).any()
    label_map[:, 3:] = 7
    assert ContextEdgeReader('x').read(str(write_mat(path, LabelMap=label_map, comment='longer'))).any()


def test_bad_mat_files_are_named(tmp_path):
    path = write_mat(tmp_path / 'x.mat', Other=np.zeros((2, 3)))
    with pytest.raises(ValueError, match=r"x.mat has no variable `LabelMap`; it holds \['Other'\]"):
        ContextEdgeReader('x').read(str(path))
    with pytest.raises(ValueError, match='Cannot read .*none.mat: No such file'):
        ContextEdgeReader('x').read(str(tmp_path / 'none.mat'))
    data = write_mat(tmp_path / 'x.mat', LabelMap=np.random.default_rng(0).integers(0, 99, (40, 50))).read_bytes()
    for content in (data[: len(data) // 2], data[:130], b'', b'x' * 400):
        path.write_bytes(content)
        with pytest.raises(ValueError, match='x.mat'):
            ContextEdgeReader('x').read(str(path))


def test_ids_beyond_the_classes_and_other_shapes_are_named(tmp_path):
    for values, message in (
        (np.full((2, 3), 460, np.uint16), 'LabelMap has ids 460 to 460, expected 0 to 459'),
        (np.array([[np.nan, 1]]), 'LabelMap has ids nan'),
        (np.zeros((2, 3, 3)), 'expected ids'),
        (np.array(['text']), 'expected ids'),
    ):
        path = write_mat(tmp_path / 'x.mat', LabelMap=values)
        with pytest.raises(ValueError, match=message):
            ContextEdgeReader('x').read(str(path))


def test_only_version_5_is_read(tmp_path):
    scipy.io.savemat(tmp_path / 'x.mat', dict(LabelMap=np.zeros((2, 3))), format='4')
    with pytest.raises(ValueError, match='x.mat cannot be read as a MATLAB file: it is not in MATLAB 5 format'):
        load_mat(str(tmp_path / 'x.mat'), 'LabelMap')


def test_a_pixel_without_a_normal_stays_so_and_classes_may_be_named(tmp_path):
    pixels = np.full((2, 3, 3), 200, dtype=np.uint8)
    pixels[0, 0] = 0  # black marks none
    normals = str(write_image(tmp_path / 'a.png', pixels))
    context = str(write_mat(tmp_path / 'a.mat', LabelMap=np.array([[SKY, SKY, FLOOR]] * 2, dtype=np.uint16)))
    kept = ContextNormalsReader('x', context_dir='y', class_ids=[SKY]).read(normals, context)
    assert kept.any(axis=-1).tolist() == [[False, True, False], [True, True, False]]
    reader = ContextNormalsReader('x', context_dir='y', context_suffix='_c.mat')
    assert reader.paths('/r', 'a') == ('/r/x/a.png', '/r/y/a_c.mat')
    assert ContextEdgeReader('x').suffix == HumanPartsReader('x').suffix == '.mat'


def test_parts_may_be_numbered_otherwise(tmp_path):
    path = write_mat(tmp_path / 'x.mat', anno=annotation((PERSON, box(np.s_[:]), [('tail', box(np.s_[:2]))])))
    assert_array_equal(HumanPartsReader('x', parts=dict(tail=9)).read(str(path)), 9 * box(np.s_[:2]))


def test_the_laplacian_of_a_row_repeats_its_ends():
    assert_array_equal(laplacian(np.array([[1, 4, 4]], dtype=np.uint8)), [[3, -3, 0]])
