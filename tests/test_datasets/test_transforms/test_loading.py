import numpy as np
import pytest

from mlore_mm.datasets.label_readers import IdMapReader, NpyReader, VectorReader
from mlore_mm.datasets.transforms import CentrePad, LoadMultiTaskImage, LoadMultiTaskLabels
from mlore_mm.tasks import TaskSet
from tests.test_datasets.archives import write_image, write_npy

SIZE = (6, 8)
NPY, PNG, VECTORS = NpyReader('x'), IdMapReader('x'), VectorReader('x')


def load(task, reader, *paths, **kwargs):
    results = dict(ori_shape=SIZE, img_path='photo.jpg', tasks=TaskSet(dict(t=task)))
    results['label_files'] = dict(t=(reader, tuple(map(str, paths))) if reader else None)
    return LoadMultiTaskLabels(**kwargs)(results)['targets']['t']


def test_the_image_tells_its_size(tmp_path):
    path = write_image(tmp_path / 'x.png', np.zeros((6, 8, 3), dtype=np.uint8))
    results = LoadMultiTaskImage()(dict(img_path=str(path)))
    assert results['img'].shape == (6, 8, 3)
    assert results['ori_shape'] == results['img_shape'] == SIZE


def test_no_label_is_a_target_full_of_the_ignore_value():
    target = load(dict(type='SurfaceNormals'), None)
    assert target.shape == (6, 8, 3)
    assert (target == 255).all()


def test_labels_stay_bytes(tmp_path):
    path = write_image(tmp_path / 'x.png', np.ones(SIZE, dtype=np.uint8))
    assert load(dict(type='SemSeg'), PNG, path).dtype == np.uint8
    assert load(dict(type='Edge'), PNG, path).dtype == np.uint8


def test_bytes_that_cannot_hold_the_ignored_value_do_not_stay(tmp_path):
    """Borders of -1 would become class 0."""
    path = write_image(tmp_path / 'x.png', np.ones(SIZE, dtype=np.uint8))
    label = load(dict(type='SemSeg', dtype='int16', ignore_value=-1), PNG, path)
    assert label.dtype == np.int16
    padded = CentrePad(size=(SIZE[0] + 2, SIZE[1]))(
        dict(
            img=np.zeros((*SIZE, 3), np.uint8),
            targets=dict(x=label),
            tasks=TaskSet(dict(x=dict(type='SemSeg', dtype='int16', ignore_value=-1))),
        )
    )
    assert set(padded['targets']['x'][0]) == {-1}


def test_whole_numbers_of_another_type_become_ids(tmp_path):
    path = write_npy(tmp_path / 'x.npy', np.full(SIZE, 7, dtype=np.int64))
    target = load(dict(type='SemSeg'), NPY, path)
    assert target.dtype == np.uint8
    assert (target == 7).all()


def image(tmp_path, value, size=SIZE):
    return write_image(tmp_path / 'x.png', np.full(size, value, dtype=np.uint8))


def array(tmp_path, value, size=SIZE):
    values = np.ones(size, dtype=np.float32)
    values[2, 3] = value
    return write_npy(tmp_path / 'x.npy', values)


@pytest.mark.parametrize(
    ('kind', 'reader', 'write', 'value', 'message'),
    [
        ('SemSeg', PNG, image, 21, r'class ids 0 to 20 or 255 \(ignore\) expected, found \[21\]'),
        ('HumanParts', PNG, image, 7, r'class ids 0 to 6 or 255 \(ignore\) expected, found \[7\]'),
        ('Saliency', PNG, image, 2, r'0, 1 or 255 \(ignore\) expected, found \[2\]'),
        ('Edge', PNG, image, 254, r'values in 0..1 or 255 \(ignore\) expected, found \[254\]'),
        ('Depth', NPY, array, np.nan, 'finite numbers expected, found NaN or infinity'),
        ('Depth', NPY, array, np.inf, 'finite numbers expected, found NaN or infinity'),
        ('Depth', NPY, array, -0.5, r'metres >= 0 expected \(0 = no reading\), found a minimum of -0.5'),
        ('SemSeg', NPY, array, 0.5, 'holds float32 numbers from 0.5 to 1.0, expected whole numbers that fit uint8'),
        ('SemSeg', NPY, array, np.nan, 'expected whole numbers that fit uint8'),
        ('SemSeg', NPY, array, -1, 'expected whole numbers that fit uint8'),
        ('SemSeg', NPY, array, 300, 'expected whole numbers that fit uint8'),
        ('DenseRegression', NPY, array, -np.inf, 'finite numbers expected'),
    ],
)
def test_values_without_a_meaning_are_named(tmp_path, kind, reader, write, value, message):
    with pytest.raises(ValueError, match=rf"Label of task 't' in .*x\.(png|npy).* {message}"):
        load(dict(type=kind), reader, write(tmp_path, value))


@pytest.mark.parametrize(
    ('value', 'message'),
    [(np.nan, 'found NaN'), (np.inf, 'found NaN or infinite'), (3, r'components in -1..1 expected')],
)
def test_bad_normals_are_named(tmp_path, value, message):
    with pytest.raises(ValueError, match=rf"Label of task 't' in .*x.npy: .*{message}"):
        load(dict(type='SurfaceNormals'), NPY, array(tmp_path, value, (*SIZE, 3)))


def test_values_are_taken_as_they_are_on_request(tmp_path):
    assert load(dict(type='SemSeg'), PNG, image(tmp_path, 99), check_values=False).max() == 99


def test_another_size_than_the_image_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"'t' in .*x.png is 8x6 \(HxW\), but its image photo.jpg is 6x8"):
        load(dict(type='SemSeg'), PNG, image(tmp_path, 1, (8, 6)))


def test_another_number_of_channels_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"'t' in .*x.npy has 1 channels, expected 3"):
        load(dict(type='SurfaceNormals'), NPY, array(tmp_path, 1))
    path = write_image(tmp_path / 'x.png', np.zeros((*SIZE, 3), dtype=np.uint8))
    with pytest.raises(ValueError, match=r"'t' in .*x.png has 3 channels, expected 1"):
        load(dict(type='Depth'), VECTORS, path)


class Failing(NpyReader):
    def read(self, path):
        raise self.error


@pytest.mark.parametrize(
    ('error', 'message'),
    [
        (ValueError('x.npy is broken'), '^x.npy is broken$'),
        (ValueError('broken'), '^x.npy cannot be read by Failing.*: ValueError: broken$'),
        (KeyError('x.npy'), "^x.npy cannot be read by Failing.*: KeyError: 'x.npy'$"),
    ],
)
def test_whatever_a_reader_ends_in_names_the_file(error, message):
    reader = Failing('x')
    reader.error = error
    with pytest.raises(ValueError, match=message):
        load(dict(type='Depth'), reader, 'x.npy')


def test_a_turned_label_is_told_from_another_size(tmp_path):
    with pytest.raises(ValueError, match='8x6 .*has the photo an EXIF tag'):
        load(dict(type='SemSeg'), PNG, image(tmp_path, 1, (8, 6)))
    with pytest.raises(ValueError, match=r'They have to agree\.$'):
        load(dict(type='SemSeg'), PNG, image(tmp_path, 1, (8, 7)))


def test_a_reader_that_finds_nothing_and_a_task_without_an_entry(tmp_path):
    class Nothing(NpyReader):
        def read(self, path):
            return None

    assert load(dict(type='Depth'), Nothing('x'), 'x.npy').tolist() == [[0] * 8] * 6
    results = dict(ori_shape=(2, 3, 9), img_path='x', tasks=TaskSet(dict(t=dict(type='Depth'))), label_files={})
    assert LoadMultiTaskLabels()(results)['targets']['t'].shape == (2, 3)


def test_advice_comes_with_the_problem(tmp_path):
    with pytest.raises(ValueError, match='found a minimum of -0.5. Where such numbers mean no label, name them by'):
        load(dict(type='Depth'), NPY, array(tmp_path, -0.5))
    with pytest.raises(ValueError, match=r'found \[2\]\.$'):
        load(dict(type='Saliency'), PNG, image(tmp_path, 2))


def test_images_of_three_channels_may_be_arrays(tmp_path):
    pixels = np.arange(18, dtype=np.uint8).reshape(2, 3, 3)
    read = LoadMultiTaskImage()(dict(img_path=str(write_npy(tmp_path / 'x.npy', pixels))))
    assert read['img'].tolist() == pixels[..., ::-1].tolist()
