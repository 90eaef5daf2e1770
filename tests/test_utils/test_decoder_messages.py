import os
import sys

import cv2
import numpy as np
import pytest

from mlore_mm.datasets.image_io import read_image
from mlore_mm.utils.decoder_messages import call_and_listen


def say(*lines: str) -> int:
    os.write(2, ''.join(f'{line}\n' for line in lines).encode())
    return 5


def test_damage_is_told_and_other_lines_go_on(capfd):
    result, message = call_and_listen(say, 'Warning: unknown JFIF revision number 9.00', 'from somebody else')
    assert (result, message) == (5, '')
    assert capfd.readouterr().err == 'from somebody else\n'
    _, message = call_and_listen(say, 'Corrupt JPEG data: bad Huffman code')
    assert message == 'Corrupt JPEG data: bad Huffman code'
    _, message = call_and_listen(say, '[ERROR:0@2.7] global grfmt_tiff.cpp:117 TIFF_Error', '[ WARN:0@2.7] grfmt_x')
    assert 'TIFF_Error' in message
    assert capfd.readouterr().err == ''


def test_the_stream_is_given_back_after_an_error(capfd):
    with pytest.raises(ZeroDivisionError):
        call_and_listen(lambda: 1 / 0)
    print('still here', file=sys.stderr)
    assert 'still here' in capfd.readouterr().err


@pytest.mark.parametrize('progressive', [0, 1])
def test_a_jpeg_with_a_hole_is_an_error_unless_the_option_takes_it(tmp_path, progressive):
    rng = np.random.default_rng(0)
    photo = cv2.resize(rng.integers(0, 256, (12, 16, 3), dtype=np.uint8), (160, 120))
    data = cv2.imencode('.jpg', photo, [cv2.IMWRITE_JPEG_PROGRESSIVE, progressive])[1].tobytes()
    path = tmp_path / 'x.jpg'
    for damaged in (data[: len(data) // 2] + b'\xff\xd9', data[:-1500] + bytes(1000) + data[-500:]):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match='x.jpg is damaged .*Corrupt JPEG data.*strict=False'):
            read_image(str(path))
        assert read_image(str(path), strict=False).shape == (120, 160, 3)
    path.write_bytes(data)
    assert np.array_equal(read_image(str(path)), read_image(str(path), strict=False))


@pytest.mark.parametrize(
    ('line', 'of_decoder', 'damage'),
    [
        ('Premature end of JPEG file', True, True),
        ('libpng warning: iCCP', True, False),
        ('libpng error: bad CRC', True, True),
        ('Invalid Adobe marker', True, False),
        ('[ INFO:0@1.0] global grfmt_png.cpp', True, False),
        ('[WARN:0] imdecode', True, False),
        ('[ERROR:0@1.0] imdecode_', True, True),
        ('[ERROR:0@1.0] another module', False, False),
        ('grfmt_ without brackets', False, False),
        ('  ', False, False),
    ],
)
def test_lines_of_decoders(capfd, line, of_decoder, damage):
    _, message = call_and_listen(say, line)
    assert message == (line if damage else '')
    assert (line in capfd.readouterr().err) == (not of_decoder and bool(line.strip()))


def test_a_process_without_the_stream(monkeypatch):
    def closed(handle):
        raise OSError

    monkeypatch.setattr(os, 'dup', closed)
    assert call_and_listen(lambda x: x + 1, 2) == (3, '')
