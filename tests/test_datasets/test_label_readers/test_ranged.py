import cv2
import numpy as np
import pytest
from numpy.testing import assert_allclose

from mlore_mm.datasets.label_readers import ChannelsReader, RangeReader
from tests.test_datasets.archives import write_image

CODES = np.array([[0, 100, 200], [300, 400, 500]], dtype=np.uint16)


@pytest.fixture
def path(tmp_path):
    name = str(tmp_path / 'a.png')
    cv2.imwrite(name, CODES)
    return name


def test_range_with_and_without_clipping(path):
    assert_allclose(RangeReader('.', high=400).read(path), [[-1, -0.5, 0], [0.5, 1, 1]])
    assert_allclose(RangeReader('.', high=400, clip=False).read(path), [[-1, -0.5, 0], [0.5, 1, 1.5]])


def test_pixels_without_a_label_are_masked(path):
    label = RangeReader('.', high=400, ignore=(500,)).read(path)
    assert label.mask.tolist() == [[False] * 3, [False, False, True]]


def test_blur_is_that_of_the_numbers(tmp_path):
    codes = np.zeros((41, 41), dtype=np.uint16)
    codes[20, 20] = 40000
    cv2.imwrite(str(tmp_path / 'a.png'), codes)
    label = (RangeReader('.', high=40000, blur=2).read(str(tmp_path / 'a.png')) + 1) / 2
    y, x = np.mgrid[-20:21, -20:21]
    gauss = np.exp(-(x**2 + y**2) / (2 * 2**2))
    assert_allclose(label, gauss / gauss.sum(), atol=2e-5)


def test_the_code_of_a_number(path):
    reader = RangeReader('.', high=400)
    assert [reader.code(value) for value in (-1, 0, 1)] == ['0', '200', '400']
    assert ChannelsReader('.', mean=(10, 20), std=(2, 4)).code((1.0, -1.0)) == '(12, 16)'


def test_channels_are_red_then_green(tmp_path):
    cv2.imwrite(str(tmp_path / 'a.png'), np.full((2, 3, 3), (30, 20, 10), dtype=np.uint8))  # blue, green, red
    label = ChannelsReader('.', mean=(8, 12), std=(2, 4)).read(str(tmp_path / 'a.png'))
    assert_allclose(label, np.broadcast_to([1.0, 2.0], (2, 3, 2)))


def test_errors(path):
    with pytest.raises(ValueError, match='high > 0'):
        RangeReader('.', high=0)
    with pytest.raises(ValueError, match='a mean and a std'):
        ChannelsReader('.', mean=(1, 2), std=(1,))
    with pytest.raises(ValueError, match=r'a.png has shape \(2, 3\), expected 2 channels'):
        ChannelsReader('.', mean=(1, 2), std=(1, 1)).read(path)


def test_colour_files_are_read_by_their_first_channel_and_others_by_some(tmp_path):
    pixels = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    path = str(write_image(tmp_path / 'x.png', pixels[..., :3]))
    reader = RangeReader('.', high=10, clip=False)
    assert_allclose(reader.read(path), pixels[..., 0] / 5 - 1, rtol=1e-6)
    assert ChannelsReader('.', mean=(0,) * 3, std=(1,) * 3).read(path).shape == (2, 3, 3)
    assert (reader.suffix, RangeReader('.').high) == ('.png', 255)
    for options in (dict(high=-1), dict(blur=-0.1)):
        with pytest.raises(ValueError, match='needs high > 0 and blur >= 0'):
            RangeReader('.', **options)
    for mean, std in (((), ()), ((1, 1), (1, 0))):
        with pytest.raises(ValueError, match='a mean and a std > 0 per channel'):
            ChannelsReader('.', mean=mean, std=std)
    with pytest.raises(ValueError, match='expected 4 channels at least'):
        ChannelsReader('.', mean=(0,) * 4, std=(1,) * 4).read(path)
