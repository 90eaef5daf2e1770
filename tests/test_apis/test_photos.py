import io

import numpy as np
import pytest
from PIL import Image

from mlore_mm.apis.inference.photos import PhotoError, read_input, read_photo
from mlore_mm.datasets.image_io import read_image

RGB = np.random.default_rng(0).integers(0, 255, (12, 20, 3), dtype=np.uint8)


def save(image: Image.Image, path, **options) -> str:
    image.save(path, **options)
    return str(path)


@pytest.mark.parametrize('suffix', ['.png', '.jpg'])
def test_the_same_pixels_as_in_a_data_set(tmp_path, suffix):
    path = save(Image.fromarray(RGB), tmp_path / f'a{suffix}')
    np.testing.assert_array_equal(read_photo(path), read_image(path))
    with open(path, 'rb') as file:
        np.testing.assert_array_equal(read_photo(file.read()), read_image(path))


def test_grey_and_palette_become_colour(tmp_path):
    grey = RGB[..., 0]
    for image in (Image.fromarray(grey), Image.fromarray(grey).convert('P')):
        read = read_photo(save(image, tmp_path / 'a.png'))
        np.testing.assert_array_equal(read, np.repeat(grey[..., None], 3, axis=2))
    np.testing.assert_array_equal(read_photo(grey)[..., 1], grey)


def test_transparency_is_laid_on_white(tmp_path):
    rgba = np.dstack([RGB, np.full(RGB.shape[:2], 255, np.uint8)])
    rgba[:, :10, 3] = 0
    read = read_photo(save(Image.fromarray(rgba), tmp_path / 'a.png'))
    assert (read[:, :10] == 255).all()
    np.testing.assert_array_equal(read[:, 10:, ::-1], RGB[:, 10:])
    np.testing.assert_array_equal(read_photo(rgba[..., [2, 1, 0, 3]]), read)


def test_sixteen_bits(tmp_path):
    grey = np.arange(240, dtype=np.uint16).reshape(12, 20) * 256 + 77
    read = read_photo(save(Image.fromarray(grey), tmp_path / 'a.png'))
    np.testing.assert_array_equal(read[..., 0], grey >> 8)
    np.testing.assert_array_equal(read_photo(grey), read)


def test_cmyk_jpeg(tmp_path):
    flat = Image.new('RGB', (16, 8), (200, 40, 90)).convert('CMYK')
    read = read_photo(save(flat, tmp_path / 'a.jpg', quality=100))
    assert read.shape == (8, 16, 3)
    np.testing.assert_allclose(read[4, 8], (90, 40, 200), atol=4)


def test_photos_are_turned_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # stored on its side
    path = save(Image.fromarray(RGB), tmp_path / 'a.png', exif=exif)
    np.testing.assert_array_equal(read_photo(path)[..., ::-1], np.rot90(RGB, -1))


def test_first_frame_of_an_animation(tmp_path):
    frames = [Image.new('RGB', (6, 4), colour) for colour in ('red', 'blue')]
    path = save(frames[0], tmp_path / 'a.gif', save_all=True, append_images=frames[1:])
    assert read_photo(path)[0, 0].tolist() == [0, 0, 255]


def truncated() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(RGB).save(buffer, 'JPEG')
    return buffer.getvalue()[:-300]


@pytest.mark.parametrize(
    ('source', 'message'),
    [
        ('nowhere/a.jpg', 'Cannot read nowhere/a.jpg: No such file'),
        (b'', '^a picture is empty'),
        (b'not a picture', 'is not a picture'),
        (truncated(), 'truncated'),
        (np.zeros((4, 4, 3)), 'holds float64 numbers, expected uint8'),
        (np.zeros((4, 4, 2), np.uint8), r'shape \(4, 4, 2\), expected'),
        (np.zeros((0, 4, 3), np.uint8), r'shape \(0, 4, 3\)'),
        (Image.new('F', (4, 4)), 'floating-point'),
    ],
)
def test_what_is_no_photo_is_refused_by_name(source, message):
    with pytest.raises(PhotoError, match=message):
        read_photo(source)


def test_huge_pictures_are_refused(monkeypatch):
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 100)
    buffer = io.BytesIO()
    Image.fromarray(RGB).save(buffer, 'PNG')
    with pytest.raises(PhotoError, match='bomb.png is too large'):
        read_photo(buffer.getvalue(), 'bomb.png')


def test_formats_go_by_content(tmp_path):
    path = save(Image.fromarray(RGB), tmp_path / 'a.jpg', format='PNG')
    assert read_photo(path, formats=['JPEG', 'PNG']).shape == RGB.shape
    with pytest.raises(PhotoError, match=r'a.jpg is not a picture, or none of JPEG, WEBP\.'):
        read_photo(path, formats=['JPEG', 'WEBP'])
    with pytest.raises(PhotoError, match='of a format that Pillow does not read'):
        read_photo(b'x', formats=None)
    with pytest.raises(PhotoError, match='^mine is empty'):
        read_photo(b'', 'mine')


def test_networks_of_other_channels(tmp_path):
    many = np.zeros((2, 3, 5), np.float32)
    assert read_input(many, channels=5) is many
    for wrong in (many, many[..., :4].transpose(2, 0, 1), many[..., 0]):
        with pytest.raises(PhotoError, match=r'^a has the shape .*expected \(H, W, 4\)'):
            read_input(wrong, 'a', 4)
    np.save(tmp_path / 'a.npy', many)
    np.testing.assert_array_equal(read_input(tmp_path / 'a.npy', channels=5), many)
    assert read_input(RGB).shape == RGB.shape
