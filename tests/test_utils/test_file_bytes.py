import io
import os
import socket
import stat
import struct

import pytest
from PIL import Image

from mlore_mm.utils.file_bytes import (
    MAX_PIXELS,
    PNG_SIGNATURE,
    _kind,
    check_claimed_size,
    claimed_size,
    read_bytes,
    read_picture,
)


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


def jpeg(*segments: tuple[int, bytes], filling: bytes = b'') -> bytes:
    """Markers with what they hold, without any pixels."""
    parts = [filling + struct.pack('>BBH', 0xFF, marker, len(data) + 2) + data for marker, data in segments]
    return b'\xff\xd8' + b''.join(parts) + b'\xff\xd9' + bytes(9)


def frame(width: int, height: int) -> bytes:
    return struct.pack('>BHH', 8, height, width) + bytes(10)


@pytest.mark.parametrize(
    ('data', 'size'),
    [
        (jpeg((0xE0, b'JFIF'), (0xC0, frame(3, 2))), (3, 2)),
        (jpeg((0xC2, frame(3, 2)), filling=b'\xff\xff'), (3, 2)),
        (jpeg((0xC0, frame(3, 2)), (0xC1, frame(30, 20)), (0xC0, frame(40, 4))), (30, 20)),
        (jpeg((0xC4, frame(9, 9)), (0xC8, frame(9, 9)), (0xCC, frame(9, 9)), (0xCF, frame(3, 2))), (3, 2)),
        (jpeg((0xD0, b''), (0xC0, frame(3, 2)))[:4] + jpeg((0xC0, frame(3, 2)))[2:], (3, 2)),  # a bare marker
        (b'\xff\xd8\xff\x01' + jpeg((0xC0, frame(3, 2)))[2:], (3, 2)),
        (jpeg((0xDA, b'pixels'), (0xC0, frame(3, 2))), (0, 0)),
        (jpeg((0xE0, b'x')) + jpeg((0xC0, frame(3, 2)))[2:], (0, 0)),  # behind the end
        (jpeg((0xE0, b'x'))[:-11] + b'no marker at all', (0, 0)),
        (b'no picture', (0, 0)),
        (PNG_SIGNATURE + bytes(15), (0, 0)),
    ],
)
def test_the_largest_frame_of_a_jpeg_counts(data, size):
    assert claimed_size(data, 'x') == size


def test_as_many_pixels_as_are_decoded_may_be_claimed():
    for width, height, refused in ((2**14, 2**14, False), (2**28, 1, False), (2**28 + 1, 1, True)):
        data = PNG_SIGNATURE + bytes(8) + struct.pack('>II', width, height)
        if refused:
            with pytest.raises(ValueError, match=f'x.png claims {width} x 1 pixels'):
                check_claimed_size(data, 'x.png')
        else:
            check_claimed_size(data, 'x.png')


def test_a_socket_is_no_file(tmp_path):
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(tmp_path / 's'))
        with pytest.raises(ValueError, match='Cannot read .*s: |is a socket'):
            read_bytes(str(tmp_path / 's'))
    assert [_kind(mode) for mode in (stat.S_IFDIR, stat.S_IFIFO, stat.S_IFSOCK, stat.S_IFCHR)] == [
        'a folder',
        'a pipe',
        'a socket',
        'a device',
    ]
