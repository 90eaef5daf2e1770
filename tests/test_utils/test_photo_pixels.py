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
