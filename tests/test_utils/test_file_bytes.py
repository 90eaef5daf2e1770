import io
import os
import struct

import pytest
from PIL import Image

from mlore_mm.utils.file_bytes import MAX_PIXELS, claimed_size, read_bytes, read_picture


def picture(kind: str, size=(31, 17)) -> bytes:
    file = io.BytesIO()
    Image.new('RGB', size).save(file, kind)
    return file.getvalue()


@pytest.mark.parametrize('kind', ['PNG', 'JPEG', 'WEBP', 'TIFF', 'BMP', 'JPEG2000', 'GIF'])
def test_the_size_is_read_from_the_header(kind):
    assert claimed_size(picture(kind), 'x') == (31, 17)


def test_a_jpeg_that_claims_too_much_is_refused_before_it_is_decoded(tmp_path):
    data = picture('JPEG')
    start = data.index(b'\xff\xc0') + 5
    (tmp_path / 'x.jpg').write_bytes(data[:start] + struct.pack('>HH', 30000, 30000) + data[start + 4 :])
    with pytest.raises(ValueError, match=f'x.jpg claims 30000 x 30000 pixels, more than the {MAX_PIXELS}'):
        read_picture(str(tmp_path / 'x.jpg'))


def test_other_formats_are_limited_too(tmp_path):
    data = bytearray(picture('BMP'))
    data[18:26] = struct.pack('<ii', 40000, 40000)
    (tmp_path / 'x.bmp').write_bytes(data)
    with pytest.raises(ValueError, match='x.bmp claims too many pixels|x.bmp claims 40000'):
        read_picture(str(tmp_path / 'x.bmp'))


def test_pipes_devices_and_folders_are_refused_without_waiting(tmp_path):
    os.mkfifo(tmp_path / 'pipe')
    for path, kind in ((tmp_path / 'pipe', 'a pipe'), ('/dev/zero', 'a device'), (tmp_path, '.*[Dd]irectory|a folder')):
        with pytest.raises(ValueError, match=f'{path}.*{kind}'):
            read_bytes(str(path))


def test_missing_and_empty_files_are_named(tmp_path):
    (tmp_path / 'x').touch()
    with pytest.raises(ValueError, match=r'x is empty \(0 bytes\)'):
        read_bytes(str(tmp_path / 'x'))
    with pytest.raises(ValueError, match='Cannot read .*none: No such file'):
        read_bytes(str(tmp_path / 'none'))
