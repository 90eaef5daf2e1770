import numpy as np
import pytest
from numpy.testing import assert_array_equal
from PIL import Image

from mlore_mm.datasets.label_readers import IdMapReader, MaskReader, NpyReader, ScaledReader, VectorReader
from mlore_mm.datasets.label_readers.no_label import fill
from mlore_mm.datasets.transforms.loading import check_label
from mlore_mm.tasks import Depth, Saliency, SurfaceNormals
from tests.test_datasets.archives import write_image, write_npy

NOTHING = -7.0


def read(reader, path) -> list:
    """The label with ``NOTHING`` where there is none."""
    return fill(reader.read(str(path)), NOTHING).tolist()


def test_the_largest_code_of_sixteen_bits_is_no_reading(tmp_path):
    path = write_image(tmp_path / 'x.png', np.array([[0, 2000, 65535]], dtype=np.uint16))
    assert read(ScaledReader('', divisor=1000), path) == [[0, 2, NOTHING]]
    assert read(ScaledReader('', divisor=65535), path)[0][2] == 1  # a map in 0..1
    assert read(ScaledReader('', divisor=1000, ignore=()), path)[0][2] == pytest.approx(65.535)
    assert read(ScaledReader('', divisor=1000, ignore=(0, 2000)), path)[0][:2] == [NOTHING, NOTHING]


def test_codes_are_moved_to_the_middle_of_their_step(tmp_path):
    path = write_image(tmp_path / 'x.png', np.array([[0, 254, 255]], dtype=np.uint8))
    reader = ScaledReader('', divisor=25.5, offset=0.5, bits=8, limits=(None, 10))
    assert read(reader, path) == [[pytest.approx(0.5 / 25.5), pytest.approx(254.5 / 25.5), NOTHING]]
    assert reader.code(255.5 / 25.5) == '255'


@pytest.mark.parametrize(
    ('options', 'expected'),
    [
        (dict(ignore=('nan', 'inf', 'negative')), [1, NOTHING, NOTHING, NOTHING, NOTHING, 1e10]),
        (dict(ignore=('nan', 'inf', -1, 1e10)), [1, NOTHING, NOTHING, NOTHING, NOTHING, NOTHING]),
        (dict(ignore=('nan', 'inf'), limits=(0, 80)), [1, NOTHING, NOTHING, NOTHING, NOTHING, NOTHING]),
        (dict(ignore=('nan', 'inf', 1, -1, 1e10), scale=2), [NOTHING] * 6),
    ],
)
def test_words_numbers_and_limits(tmp_path, options, expected):
    values = np.array([[1, np.nan, np.inf, -np.inf, -1, 1e10]], dtype=np.float32)
    path = write_npy(tmp_path / 'x.npy', values)
    assert read(NpyReader('', **options), path) == [pytest.approx(expected)]


def test_one_component_is_enough_for_a_vector(tmp_path):
    path = write_npy(tmp_path / 'x.npy', np.array([[[0, 0, 1], [np.nan, 0, 1]]], dtype=np.float32))
    assert read(NpyReader('', ignore='nan'), path) == [[[0, 0, 1], [NOTHING] * 3]]


@pytest.mark.parametrize('colour', [(0, 0, 0), (255, 255, 255), (127, 127, 127), (128, 128, 128)])
def test_colours_without_a_direction_are_no_normals(tmp_path, colour):
    pixels = np.full((4, 5, 3), (128, 128, 255), dtype=np.uint8)
    pixels[:2] = colour
    path = str(write_image(tmp_path / 'x.png', pixels))
    task = SurfaceNormals(name='normals')
    for reader in (VectorReader(''), VectorReader('', ignore=[list(colour)])):
        label = check_label(reader.read(path), task, (4, 5), path, path)
        assert_array_equal(label[:2], 255)
        assert_array_equal(label[2:], VectorReader('', ignore=()).read(path)[2:])
    assert not np.ma.isMaskedArray(VectorReader('', ignore=()).read(path))


def test_a_file_with_alpha_says_itself_which_normals_count(tmp_path):
    pixels = np.zeros((1, 2, 4), dtype=np.uint8)
    pixels[0, 0] = 255
    Image.fromarray(pixels).save(tmp_path / 'x.png')
    assert_array_equal(VectorReader('').read(str(tmp_path / 'x.png')), [[[1, 1, 1], [0, 0, 0]]])
    named = VectorReader('', ignore=((255, 255, 255),))
    assert_array_equal(named.read(str(tmp_path / 'x.png')), np.zeros((1, 2, 3)))


def test_vectors_without_a_label_are_stored_with_alpha(tmp_path):
    pixels = np.full((1, 3, 3), (128, 128, 255), dtype=np.uint8)
    pixels[0, 0] = 0
    vectors = VectorReader('').read(str(write_image(tmp_path / 'x.png', pixels)))
    assert VectorReader.encode(vectors)[..., 3].tolist() == [[0, 255, 255]]


def test_masks_of_zero_and_one(tmp_path):
    path = write_image(tmp_path / 'x.png', np.array([[0, 1]], dtype=np.uint8))
    with pytest.raises(ValueError, match='x.png holds 0 and 1 only.*threshold=0 of its MaskReader'):
        MaskReader('').read(str(path))
    assert read(MaskReader('', threshold=0), path) == [[0, 1]]
    assert read(MaskReader('', soft=True), path) == [[0, 0]]


def test_masks_with_a_third_value(tmp_path):
    path = write_image(tmp_path / 'x.png', np.array([[0, 128, 255]], dtype=np.uint8))
    label = check_label(MaskReader('', ignore=(128,)).read(str(path)), Saliency(name='sal'), (1, 3), 'x', 'y')
    assert label.tolist() == [[0, 255, 1]]


@pytest.mark.parametrize('reader', [MaskReader(''), ScaledReader('', bits=8), VectorReader('')])
def test_indices_of_a_palette_are_no_amounts(tmp_path, reader):
    image = Image.fromarray(np.eye(4, dtype=np.uint8))
    image.putpalette([0, 0, 0, 255, 255, 255])
    image.save(tmp_path / 'x.png')
    with pytest.raises(ValueError, match='x.png is a palette PNG'):
        reader.read(str(tmp_path / 'x.png'))


def test_a_mask_read_as_class_ids_is_warned_about(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr('mlore_mm.datasets.label_readers.png_maps.say_once', lambda key, text: said.append(text))
    path = str(write_image(tmp_path / 'x.png', np.array([[0, 255]], dtype=np.uint8)))
    assert IdMapReader('').read(path).tolist() == [[0, 255]]
    assert 'x.png holds 0 and 255 only' in said[0]
    assert 'id_map={0: 0, 255: 1}' in said[0]
    IdMapReader('', ignore=(255,)).read(path)
    IdMapReader('').read(str(write_image(tmp_path / 'y.png', np.array([[0, 1, 255]], dtype=np.uint8))))
    assert len(said) == 1
    assert read(IdMapReader('', id_map={0: 0, 255: 1}), path) == [[0, 1]]


def test_edges_of_zero_and_one_are_warned_about(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr('mlore_mm.datasets.label_readers.numeric.say_once', lambda key, text: said.append(text))
    path = write_image(tmp_path / 'x.png', np.eye(3, dtype=np.uint8))
    ScaledReader('').read(str(path))
    assert 'set divisor=1' in said[0]
    assert read(ScaledReader('', divisor=1), path) == np.eye(3).tolist()
    assert len(said) == 1


def test_bad_options_are_named():
    with pytest.raises(ValueError, match=r"holds \['none'\], expected numbers or some of \['nan', 'inf', 'negative'\]"):
        NpyReader('', ignore=('none',))
    with pytest.raises(ValueError, match=r'\(smallest, largest\), but got \(3, 1\)'):
        NpyReader('', limits=(3, 1))
    with pytest.raises(ValueError, match='holds colours such as'):
        VectorReader('', ignore=((1, 2),))


def test_labels_are_filled_with_what_the_task_ignores():
    label = np.ma.MaskedArray(np.array([[1, 1]], np.float32), [[True, False]])
    assert check_label(label, Depth(name='d'), (1, 2), 'x', 'y').tolist() == [[0, 1]]
    assert check_label(label, Depth(name='d', ignore_value=-1), (1, 2), 'x', 'y').tolist() == [[-1, 1]]
