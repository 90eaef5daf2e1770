import io

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from PIL import Image

from mlore_mm.datasets.image_io import check_whole, decode_image, exif_orientation, read_image, read_png
from tests.test_datasets.archives import write_image


def photo(size=(40, 50)):
    return np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)


def test_an_image_is_bgr(tmp_path):
    image = photo()
    assert_array_equal(read_image(str(write_image(tmp_path / 'x.png', image)))[..., ::-1], image)


def test_names_with_spaces_and_other_alphabets_are_read(tmp_path):
    image = photo()
    path = write_image(tmp_path / 'Küche mit 中文.png', image)
    assert_array_equal(read_png(str(path)), image)


@pytest.mark.parametrize('share', [0.3, 0.9, 0.999])
@pytest.mark.parametrize('suffix', ['.jpg', '.png'])
def test_a_truncated_image_is_refused(tmp_path, suffix, share):
    path = write_image(tmp_path / f'photo{suffix}', photo())
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(ValueError, match=f'photo{suffix} cannot be decoded .* truncated or not an image'):
        read_image(str(path))


def test_bytes_after_the_end_of_an_image_do_not_matter(tmp_path):
    image = photo()
    path = write_image(tmp_path / 'x.png', image)
    path.write_bytes(path.read_bytes() + b'appended by some program')
    assert_array_equal(read_image(str(path))[..., ::-1], image)


def test_a_damaged_png_is_refused(tmp_path):
    path = write_image(tmp_path / 'x.png', photo())
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x55
    path.write_bytes(data)
    with pytest.raises(ValueError, match='x.png cannot be decoded'):
        read_png(str(path))


def test_missing_empty_and_other_files_are_named(tmp_path):
    with pytest.raises(ValueError, match='Cannot read .*none.jpg: No such file'):
        read_image(str(tmp_path / 'none.jpg'))
    with pytest.raises(ValueError, match='Cannot read .*: Is a directory'):
        read_image(str(tmp_path))
    (tmp_path / 'empty.jpg').touch()
    with pytest.raises(ValueError, match=r'empty.jpg is empty \(0 bytes\)'):
        read_image(str(tmp_path / 'empty.jpg'))
    (tmp_path / 'text.jpg').write_text('not an image')
    with pytest.raises(ValueError, match='text.jpg cannot be decoded'):
        read_image(str(tmp_path / 'text.jpg'))
    with pytest.raises(ValueError, match='photo.jpg is not a PNG file .* without loss'):
        read_png(str(write_image(tmp_path / 'photo.jpg', photo())))


def test_an_exif_rotation_is_not_applied(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees to look at it
    Image.fromarray(photo((20, 30))).save(tmp_path / 'x.jpg', exif=exif)
    assert read_image(str(tmp_path / 'x.jpg')).shape == (20, 30, 3)


def test_palette_files_give_indices_and_not_colours(tmp_path):
    indices = np.arange(12, dtype=np.uint8).reshape(3, 4) % 5
    image = Image.fromarray(indices)
    image.putpalette([200, 10, 60] * 5)
    image.save(tmp_path / 'x.png')
    assert_array_equal(read_png(str(tmp_path / 'x.png')), indices)


def test_sixteen_bits_and_alpha_are_kept(tmp_path):
    deep = np.arange(12, dtype=np.uint16).reshape(3, 4) * 5000
    assert_array_equal(read_png(str(write_image(tmp_path / 'deep.png', deep))), deep)
    rgba = np.dstack([photo((3, 4)), np.arange(12, dtype=np.uint8).reshape(3, 4)])
    Image.fromarray(rgba).save(tmp_path / 'rgba.png')
    assert_array_equal(read_png(str(tmp_path / 'rgba.png')), rgba)


def test_bilevel_png_is_refused_because_decoders_stretch_it(tmp_path):
    buffer = io.BytesIO()
    Image.fromarray(np.eye(8, dtype=bool)).save(buffer, 'PNG')
    (tmp_path / 'x.png').write_bytes(buffer.getvalue())
    with pytest.raises(ValueError, match=r'x.png is a greyscale PNG with 1 bit\(s\) a pixel'):
        read_png(str(tmp_path / 'x.png'))


def test_the_tag_of_a_photo_is_read_or_upright():
    exif = Image.Exif()
    exif[0x0112] = 6
    file = io.BytesIO()
    Image.fromarray(photo((4, 5))).save(file, 'JPEG', exif=exif)
    assert exif_orientation(io.BytesIO(file.getvalue())) == 6
    assert exif_orientation('none.jpg') == 1


def test_files_for_pillow_are_looked_at_first(tmp_path):
    png = write_image(tmp_path / 'x.png', photo()).read_bytes()
    jpeg = write_image(tmp_path / 'x.jpg', photo()).read_bytes()
    for data in (png, jpeg, b'of another format'):
        check_whole(data, 'x')
    with pytest.raises(ValueError, match='x cannot be decoded'):
        check_whole(png[:-20], 'x')
    with pytest.raises(ValueError, match=r'x is damaged \(\d+ bytes\): the decoder says "'):
        check_whole(jpeg[: len(jpeg) // 2] + b'\xff\xd9', 'x')


def test_a_webp_has_the_length_that_it_says():
    file = io.BytesIO()
    Image.fromarray(photo((9, 8))).save(file, 'WEBP')
    data = file.getvalue()
    assert decode_image(data, 'x').shape == (9, 8, 3)
    for broken in (data[:-2], data + b'\0\0'):
        with pytest.raises(ValueError, match='its length is not the one that its header says'):
            decode_image(broken, 'x')


def test_a_jpeg_with_a_tail_is_whole_and_without_its_end_is_not():
    file = io.BytesIO()
    Image.fromarray(photo()).save(file, 'JPEG')
    data = file.getvalue()
    assert_array_equal(decode_image(data + b'tail', 'x'), decode_image(data, 'x'))
    with pytest.raises(ValueError, match='is truncated or not an image'):
        decode_image(data[:-300], 'folder/x.jpg')
