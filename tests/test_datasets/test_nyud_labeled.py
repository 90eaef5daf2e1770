"""A small file of the structure of nyu_depth_v2_labeled.mat, converted and read back by the data set."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from mlore_mm.datasets.checking import ARCHIVES, check_sample
from mlore_mm.datasets.image_io import read_image
from mlore_mm.datasets.label_readers import IdMapReader, NpyReader, VectorReader
from mlore_mm.datasets.nyud_labeled import Conversion, convert, open_labeled, region_boundaries
from mlore_mm.datasets.nyud_v2_labels import TEST, TO_13_OF_40, TO_40, TRAIN

h5py = pytest.importorskip('h5py', reason='the official file is HDF5')
FRAMES, HEIGHT, WIDTH = 4, 60, 80


@pytest.fixture
def mat(tmp_path):
    """Axes are reversed, as MATLAB stores them: (frame, width, height)."""
    rng = np.random.default_rng(0)
    photos = rng.integers(0, 256, (FRAMES, 3, WIDTH, HEIGHT), dtype=np.uint8)
    labels = np.zeros((FRAMES, WIDTH, HEIGHT), dtype=np.uint16)
    labels[:, :38] = 21  # wall
    labels[:, 42:] = 11  # floor
    labels[:, 60:, 40:] = 0  # a wide area without a label
    depth = np.full((FRAMES, WIDTH, HEIGHT), 2.5, dtype=np.float32)
    raw = depth.copy()
    raw[:, :5] = 0
    with h5py.File(tmp_path / 'labeled.mat', 'w') as file:
        for name, values in dict(images=photos, labels=labels, depths=depth, rawDepths=raw).items():
            file[name] = values
        file['instances'] = (labels > 0).astype(np.uint8)
    return tmp_path / 'labeled.mat'


def test_every_label_is_read_back_by_the_data_set(mat, tmp_path):
    out = tmp_path / 'NYUDv2'
    assert list(convert(str(mat), str(out))) == [True] * FRAMES
    with h5py.File(mat) as file:
        assert_array_equal(read_image(str(out / 'images/0002.png'))[..., ::-1], file['images'][1].transpose(2, 1, 0))
    semseg = IdMapReader('', offset=-1, ignore=(0, 255)).read(str(out / 'segmentation/0002.png'))
    assert semseg[0, 0] == TO_40[21] - 1 == 0  # wall
    assert semseg[0, 79] == TO_40[11] - 1 == 1  # floor
    assert semseg[59, 79] == 255
    assert_allclose(NpyReader('').read(str(out / 'depth/0001.npy')), 2.5)
    normals = VectorReader('').read(str(out / 'normals/0001.png'))
    assert_allclose(normals[30, 40], (0, 0, 1), atol=0.01)
    assert (out / 'gt_sets/train.txt').read_text().split() == ['0003', '0004']
    assert (out / 'gt_sets/val.txt').read_text().split() == ['0001', '0002']
    assert check_sample(str(out), ARCHIVES['nyud'], '0003') == []


def test_options_are_thirteen_classes_and_depth_with_holes(mat, tmp_path):
    out = tmp_path / 'out'
    list(convert(str(mat), str(out), Conversion(classes=13, raw_depth=True)))
    semseg = IdMapReader('', offset=-1, ignore=(0,)).read(str(out / 'segmentation/0001.png'))
    assert semseg[0, 0] == TO_13_OF_40[1] - 1 == 11
    depth = NpyReader('').read(str(out / 'depth/0001.npy'))
    assert (depth[:, :5] == 0).all()
    assert (depth[:, 5:] == 2.5).all()
    assert not VectorReader('').read(str(out / 'normals/0001.png'))[:, :5].any()


def test_an_interrupted_run_goes_on_and_another_one_is_told(mat, tmp_path):
    out = tmp_path / 'out'
    frames = convert(str(mat), str(out))
    next(frames)
    frames.close()
    (out / 'edge/0001.png').unlink()
    before = (out / 'images/0001.png').read_bytes()
    assert list(convert(str(mat), str(out))) == [True] * FRAMES
    assert list(convert(str(mat), str(out))) == [False] * FRAMES
    assert (out / 'images/0001.png').read_bytes() == before
    with pytest.raises(ValueError, match='was begun otherwise .classes 40 then, 13 now'):
        list(convert(str(mat), str(out), Conversion(classes=13)))
    with h5py.File(mat, 'a') as file:
        file['depths'][0, 0, 0] = 3
    with pytest.raises(ValueError, match='was begun otherwise .sha256'):
        list(convert(str(mat), str(out)))


def test_other_files_are_named(mat, tmp_path):
    (tmp_path / 'x.mat').write_bytes(b'MATLAB 5.0 MAT-file' * 20)
    with pytest.raises(ValueError, match='x.mat cannot be read as an HDF5 file'):
        open_labeled(str(tmp_path / 'x.mat'))
    with h5py.File(mat, 'a') as file:
        del file['rawDepths']
    with pytest.raises(ValueError, match='has no rawDepths; it holds'):
        open_labeled(str(mat))


def test_boundaries_are_one_pixel_wide_and_close_thin_strips():
    labels = np.zeros((40, 60), dtype=np.uint16)
    labels[:, :28], labels[:, 32:] = 5, 7
    edges = region_boundaries(labels, (labels > 0).astype(np.uint8))
    assert set(np.unique(edges)) == {0, 255}
    rows = (edges[5:-5] > 0).sum(axis=1)
    assert (rows == 1).all()
    assert np.abs(np.nonzero(edges[20])[0] - 30).max() <= 2
    same = np.full((40, 60), 5, dtype=np.uint16)
    two = np.ones((40, 60), dtype=np.uint8)
    two[:, 30:] = 2
    assert not region_boundaries(same, np.ones_like(two)).any()
    assert region_boundaries(same, two)[20].any()  # two chairs side by side


def test_the_official_split_and_maps():
    assert (len(TRAIN), len(TEST), len({*TRAIN, *TEST})) == (795, 654, 1449)
    assert (TRAIN[:3], TEST[:3]) == ((3, 4, 5), (1, 2, 9))
    assert (len(TO_40), TO_40[1:].min(), TO_40.max()) == (895, 1, 40)
    assert (len(TO_13_OF_40), TO_13_OF_40[1:].min(), TO_13_OF_40.max()) == (41, 1, 13)
    with pytest.raises(ValueError, match='40 or 13 classes, but got classes=894'):
        Conversion(classes=894)


def test_data_of_another_origin_are_left_alone(mat, tmp_path):
    """The archive of multi-task learning has the same folders and names."""
    out = tmp_path / 'NYUDv2'
    (out / 'edge').mkdir(parents=True)
    (out / 'edge/0001.png').write_bytes(b'mine')
    with pytest.raises(ValueError, match='NYUDv2 holds files in edge and no conversion.json.*Give another folder'):
        list(convert(str(mat), str(out)))
    assert sorted(x.name for x in out.rglob('*')) == ['0001.png', 'edge']
    (out / 'edge/0001.png').unlink()
    assert list(convert(str(mat), str(out))) == [True] * FRAMES  # an empty folder is as good as none
