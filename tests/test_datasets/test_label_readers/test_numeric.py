import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image

from mlore_mm.datasets.label_readers import NpyReader, ScaledReader, VectorReader
from tests.test_datasets.archives import write_image, write_npy


def test_grey_values_are_divided(tmp_path):
    depth = np.array([[0, 1500, 65535]], dtype=np.uint16)
    label = ScaledReader('x', divisor=1000, bits=16).read(str(write_image(tmp_path / 'x.png', depth)))
    assert label.dtype == np.float32
    assert_allclose(label, [[0, 1.5, 65.535]])


def test_a_depth_map_squeezed_into_bytes_is_refused(tmp_path):
    path = str(write_image(tmp_path / 'x.png', np.zeros((2, 3), dtype=np.uint8)))
    with pytest.raises(ValueError, match='x.png has 8 bits per pixel, expected 16'):
        ScaledReader('x', divisor=1000, bits=16).read(path)


def test_bytes_become_vector_components(tmp_path):
    path = str(write_image(tmp_path / 'x.png', np.array([[[0, 255, 51]]], dtype=np.uint8)))
    label = VectorReader('x').read(path)
    assert label.dtype == np.float32
    assert_allclose(label, [[[-1, 1, -0.6]]], atol=1e-7)


def test_vectors_read_back_bit_for_bit(tmp_path):
    levels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    vectors = VectorReader('x').read(str(write_image(tmp_path / 'a.png', levels)))
    vectors[:9] = 0
    path = tmp_path / 'b.png'
    Image.fromarray(VectorReader.encode(vectors)).save(path)
    assert_array_equal(VectorReader('x').read(str(path)), vectors)


@pytest.mark.parametrize(
    'array', [np.zeros((2, 3), np.uint8), np.zeros((2, 3, 3), np.uint16)], ids=['one channel', '16 bits']
)
def test_other_images_are_no_vectors(tmp_path, array):
    with pytest.raises(ValueError, match='x.png is uint.* expected an 8-bit PNG with 3 channels'):
        VectorReader('x').read(str(write_image(tmp_path / 'x.png', array)))


@pytest.mark.parametrize('dtype', [np.float16, np.float64, np.int32])
def test_npy_arrays_become_float32(tmp_path, dtype):
    path = str(write_npy(tmp_path / 'x.npy', np.array([[[1], [2]]], dtype=dtype)))
    label = NpyReader('x', scale=0.5).read(path)
    assert label.dtype == np.float32
    assert_array_equal(label, [[0.5, 1]])


class Intruder:
    def __reduce__(self):
        return (open, ('intruded', 'w'))


def test_pickled_objects_are_never_loaded(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save(tmp_path / 'x.npy', np.array([Intruder()], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match='x.npy cannot be read as a .npy array of numbers'):
        NpyReader('x').read(str(tmp_path / 'x.npy'))
    assert not (tmp_path / 'intruded').exists()


def test_bad_npy_files_are_named(tmp_path):
    path = write_npy(tmp_path / 'x.npy', np.zeros((20, 30), dtype=np.float32))
    data = path.read_bytes()
    for content in (data[:-9], data[:40], b'', b'text'):
        path.write_bytes(content)
        with pytest.raises(ValueError, match='x.npy cannot be read'):
            NpyReader('x').read(str(path))
    with pytest.raises(ValueError, match='none.npy cannot be read.*No such file'):
        NpyReader('x').read(str(tmp_path / 'none.npy'))
    with pytest.raises(ValueError, match='x.npy holds complex128, expected real numbers'):
        NpyReader('x').read(str(write_npy(path, np.zeros((2, 2), dtype=complex))))
    np.savez(tmp_path / 'x.npz', a=np.zeros(3))
    with pytest.raises(ValueError, match='x.npz is an archive of arrays'):
        NpyReader('x').read(str(tmp_path / 'x.npz'))


@pytest.mark.parametrize(
    ('reader', 'dtype', 'largest'),
    [
        (ScaledReader('x', divisor=1000, bits=16), np.uint16, 65.534),
        (ScaledReader('x', divisor=5000, bits=16, ignore=(0,)), np.uint16, 13.107),
        (ScaledReader('x', divisor=25.5, bits=8, offset=0.5, ignore=()), np.uint8, 10),
    ],
)
def test_numbers_are_written_as_the_file_has_them(tmp_path, reader, dtype, largest):
    values = np.linspace(0.5, largest, 12, dtype=np.float32).reshape(3, 4)
    codes = reader.encode(values)
    assert codes.dtype == dtype
    read = reader.read(str(write_image(tmp_path / 'x.png', codes)))
    assert not np.ma.isMaskedArray(read)
    assert_allclose(read, values, atol=0.5001 / reader.divisor)


def test_what_the_codes_cannot_hold_is_not_written_with_them():
    reader = ScaledReader('x', divisor=1000, bits=16, ignore=(0, 65535))
    for value in (-0.1, 0, 65.535, 70, np.nan):
        assert reader.encode(np.full((2, 2), value, np.float32)) is None
    assert reader.encode(np.ones((2, 2, 3), np.float32)) is None


def test_arrays_are_written_in_the_unit_of_the_file():
    assert NpyReader('x').encode(np.full((2, 2), np.inf)) is None
    assert_allclose(NpyReader('x', scale=0.001, offset=1).encode(np.full((2, 2), 3.0)), 2000)


def test_codes_of_numbers_and_colours():
    assert ScaledReader('x', divisor=1000).code(1.5) == '1500'
    assert VectorReader('x').code((1, 0, -1)) == '(255, 128, 0)'
    reader = NpyReader('x', scale=2, offset=-1)
    assert (reader.code(1.0), reader.code((0.0, -1.0))) == ('1', '(0.5, 0.0)')


def test_widths_and_limits_of_grey_values(tmp_path):
    for options in (dict(bits=12), dict(divisor=0)):
        with pytest.raises(ValueError, match='takes bits 8 or 16 and a divisor'):
            ScaledReader('x', **options)
    assert [ScaledReader('x', **o).named for o in ({}, dict(ignore=()))] == [False, True]
    assert [VectorReader('x', **o).named for o in ({}, dict(ignore=()))] == [False, True]
    low = np.array([[0.0, 1.0]])
    assert ScaledReader('x').encode(low).dtype == np.uint8
    assert ScaledReader('x', divisor=256, ignore=()).encode(low).dtype == np.uint16
    assert ScaledReader('x', bits=8, divisor=1000).encode(low) is None
    assert ScaledReader('x', divisor=65535).encode(low).tolist() == [[0, 65535]]
    limited = ScaledReader('x', divisor=10, limits=(1, 2))
    label = limited.read(str(write_image(tmp_path / 'x.png', np.array([[9, 10, 20, 21]], np.uint8))))
    assert label.mask.tolist() == [[True, False, False, True]]
    assert limited.encode(np.array([[0.5]])) is None


def test_vectors_of_one_marked_colour_are_masked_as_a_whole(tmp_path):
    pixels = np.array([[[1, 2, 3], [1, 2, 4]]], np.uint8)
    path = str(write_image(tmp_path / 'x.png', pixels))
    label = VectorReader('x', ignore=((1, 2, 3),)).read(path)
    assert label.mask.tolist() == [[[True] * 3, [False] * 3]]
    assert VectorReader.encode(label)[..., 3].tolist() == [[0, 255]]
    for ignore in (((0, 0, 256),), ((-1, 0, 0),), ((0, 0),)):
        with pytest.raises(ValueError, match='holds colours such as'):
            VectorReader('x', ignore=ignore)
