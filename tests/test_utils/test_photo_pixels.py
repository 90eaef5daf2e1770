"""One rule for photos: every reader gives the same pixels."""

import warnings

import numpy as np
import pytest
from PIL import Image

from mlore_mm.apis.inference.photos import read_photo
from mlore_mm.datasets import image_io
from mlore_mm.datasets.channel_images import picture_of
from mlore_mm.datasets.image_io import read_image
from mlore_mm.datasets.transforms import LoadMultiTaskImage
from mlore_mm.utils.photo_pixels import PhotoError, array_to_bgr, picture_to_bgr

RGB = np.random.default_rng(0).integers(0, 256, (12, 20, 3), dtype=np.uint8)
ALPHA = np.dstack([RGB, np.where(np.arange(20) < 8, 0, np.where(np.arange(20) < 14, 100, 255)) * np.ones((12, 1))])


def transparent_palette():
    image = Image.fromarray(RGB[..., 0]).convert('P')
    image.info['transparency'] = 7
    return image


KINDS = {
    'rgb.png': lambda: Image.fromarray(RGB),
    'rgb.jpg': lambda: Image.fromarray(RGB),
    'rgba.png': lambda: Image.fromarray(ALPHA.astype(np.uint8)),
    'rgba.webp': lambda: Image.fromarray(ALPHA.astype(np.uint8)),
    'rgba.tif': lambda: Image.fromarray(ALPHA.astype(np.uint8)),
    'grey_alpha.png': lambda: Image.fromarray(ALPHA.astype(np.uint8)).convert('LA'),
    'palette.png': lambda: Image.fromarray(RGB).convert('P'),
    'palette_alpha.png': transparent_palette,
    'grey.png': lambda: Image.fromarray(RGB[..., 0]),
    'bits.png': lambda: Image.fromarray(RGB[..., 0].astype(np.uint16) * 256 + 9),
    'print.jpg': lambda: Image.fromarray(RGB).convert('CMYK'),
}


@pytest.mark.parametrize('name', KINDS)
def test_training_demo_and_panels_see_the_same_pixels(tmp_path, name):
    options = dict(lossless=True) if name.endswith('webp') else {}
    KINDS[name]().save(tmp_path / name, **options)
    path = str(tmp_path / name)
    photo = read_photo(path)
    for other in (read_image(path), LoadMultiTaskImage()(dict(img_path=path))['img'], read_photo(Image.open(path))):
        np.testing.assert_array_equal(other, photo)
    if not name.endswith('tif'):
        np.testing.assert_array_equal(picture_of(path), photo)


def test_transparency_is_laid_on_white_by_its_share(tmp_path):
    Image.fromarray(ALPHA.astype(np.uint8)).save(tmp_path / 'a.png')
    read = read_image(str(tmp_path / 'a.png'))[..., ::-1].astype(float)
    assert (read[:, :8] == 255).all()
    np.testing.assert_array_equal(read[:, 14:], RGB[:, 14:])
    wanted = RGB[:, 8:14] * (100 / 255) + 255 * (1 - 100 / 255)
    np.testing.assert_allclose(read[:, 8:14], wanted, atol=1)


def test_pictures_of_data_sets_are_not_turned_and_that_is_said_once(tmp_path, monkeypatch):
    monkeypatch.setattr(image_io, '_said', set())
    exif = Image.Exif()
    exif[0x0112] = 6
    for name in 'ab':
        Image.fromarray(RGB).save(tmp_path / f'{name}.jpg', exif=exif, quality=100)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter('always')
        pictures = [read_image(str(tmp_path / f'{name}.jpg')) for name in 'ab']
    assert [x.shape for x in pictures] == [(12, 20, 3)] * 2
    assert len([x for x in said if 'a.jpg has an EXIF tag' in str(x.message)]) == 1
    assert len(said) == 1
    assert read_photo(str(tmp_path / 'a.jpg')).shape == (20, 12, 3)
    np.testing.assert_array_equal(picture_of(str(tmp_path / 'a.jpg')), pictures[0])


def test_arrays_of_every_kind_of_photo():
    grey = np.array([[7, 200]], np.uint8)
    assert array_to_bgr(grey, 'x').tolist() == array_to_bgr(grey[..., None], 'x').tolist() == [[[7] * 3, [200] * 3]]
    assert array_to_bgr(grey.astype(np.uint16) * 256 + 255, 'x').tolist() == [[[7] * 3, [200] * 3]]
    bgra = np.array([[[10, 20, 30, 255], [10, 20, 30, 0], [0, 100, 200, 51]]], np.uint8)  # 51 is a fifth
    assert array_to_bgr(bgra, 'x').tolist() == [[[10, 20, 30], [255] * 3, [204, 224, 244]]]
    turned = RGB.transpose(1, 0, 2)
    assert array_to_bgr(turned, 'x').flags.c_contiguous
    np.testing.assert_array_equal(array_to_bgr(turned, 'x'), turned)


@pytest.mark.parametrize('shape', [(3,), (2, 2, 2), (2, 2, 5), (0, 4), (2, 0, 3), (1, 2, 2, 3)])
def test_other_shapes_and_numbers_are_named(shape):
    with pytest.raises(PhotoError, match=r'x has the shape \(.*expected'):
        array_to_bgr(np.zeros(shape, np.uint8), 'x')
    for dtype in (np.int16, np.float32, bool):
        with pytest.raises(PhotoError, match='x holds .* numbers, expected uint8'):
            array_to_bgr(np.zeros((2, 3), dtype), 'x')


def test_numbers_of_no_photo():
    with pytest.raises(PhotoError, match='x holds floating-point numbers'):
        picture_to_bgr(Image.fromarray(np.zeros((2, 3), np.float32)), 'x')
    for values, found in (([[-1, 5]], '-1 to 5'), ([[0, 65536]], '0 to 65536')):
        with pytest.raises(PhotoError, match=f'x holds numbers from {found}, but a photo has 8 or 16 bits'):
            picture_to_bgr(Image.fromarray(np.array(values, np.int32)), 'x')
    for values in ([[0, 65535]], [[256, 512]]):
        wanted = [[value >> 8] * 3 for value in values[0]]
        assert picture_to_bgr(Image.fromarray(np.array(values, np.int32)), 'x').tolist() == [wanted]
    exif = Image.Exif()
    exif[0x0112] = 6
    image = Image.fromarray(RGB)
    image.info['exif'] = exif.tobytes()
    assert picture_to_bgr(image, 'x').shape == (20, 12, 3)
    assert picture_to_bgr(image, 'x', upright=False).shape == (12, 20, 3)
