import struct
import zlib

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from PIL import Image

from mlore_mm.utils.png_files import read_png

SIGNATURE = b'\x89PNG\r\n\x1a\n'


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack('>I', len(content)) + kind + content + struct.pack('>I', zlib.crc32(kind + content))


def write_palette(path, indices, bits=8, colours=None, rows=None, crc=None) -> str:
    """A palette PNG written by hand, with fewer rows in it or another checksum."""
    height, width = indices.shape
    packed = [np.packbits(np.unpackbits(row[:, None], axis=1)[:, 8 - bits :].ravel()).tobytes() for row in indices]
    stream = b''.join(b'\0' + row for row in packed[:rows])
    idat = chunk(b'IDAT', zlib.compress(stream))
    path.write_bytes(
        b'\x89PNG\r\n\x1a\n'
        + chunk(b'IHDR', struct.pack('>IIBBBBB', width, height, bits, 3, 0, 0, 0))
        + chunk(b'PLTE', bytes(3 * (colours or 2**bits)))
        + (idat if crc is None else idat[:-4] + crc)
        + chunk(b'IEND', b'')
    )
    return str(path)


@pytest.mark.parametrize('bits', [1, 2, 4, 8])
def test_palette_files_are_read_whole_or_not_at_all(tmp_path, bits):
    indices = np.random.default_rng(0).integers(0, 2**bits, (9, 13), dtype=np.uint8)
    assert_array_equal(read_png(write_palette(tmp_path / 'a.png', indices, bits)), indices)
    with pytest.raises(ValueError, match='b.png cannot be decoded .* rows are missing'):
        read_png(write_palette(tmp_path / 'b.png', indices, bits, rows=5))
    with pytest.raises(ValueError, match="c.png cannot be decoded .* checksum of its chunk 'IDAT'"):
        read_png(write_palette(tmp_path / 'c.png', indices, bits, crc=b'1234'))
    if bits > 1:
        with pytest.raises(ValueError, match='d.png .* but its palette has 2 colours'):
            read_png(write_palette(tmp_path / 'd.png', indices, bits, colours=2))


def test_interlaced_palette_files_are_counted_by_their_passes(tmp_path):
    """The published picture of PngSuite's kind cannot be written by Pillow; the stream is put together by hand."""
    indices = np.arange(25, dtype=np.uint8).reshape(5, 5)
    passes = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
    parts = [indices[top::down, left::right] for left, top, right, down in passes]
    stream = b''.join(b'\0' + row.tobytes() for part in parts if part.size for row in part)
    for name, data in (('whole', stream), ('cut', stream[:-6])):
        (tmp_path / f'{name}.png').write_bytes(
            b'\x89PNG\r\n\x1a\n'
            + chunk(b'IHDR', struct.pack('>IIBBBBB', 5, 5, 8, 3, 0, 0, 1))
            + chunk(b'PLTE', bytes(768))
            + chunk(b'IDAT', zlib.compress(data))
            + chunk(b'IEND', b'')
        )
    assert_array_equal(read_png(str(tmp_path / 'whole.png')), indices)
    with pytest.raises(ValueError, match='cut.png .* rows are missing'):
        read_png(str(tmp_path / 'cut.png'))


def test_indices_are_no_amounts(tmp_path):
    path = write_palette(tmp_path / 'x.png', np.zeros((3, 4), np.uint8))
    with pytest.raises(ValueError, match='x.png is a palette PNG: its numbers name colours'):
        read_png(path, palette=False)


@pytest.mark.parametrize('mode', ['L', 'RGB', 'I;16'])
def test_every_chunk_has_its_checksum_compared(tmp_path, mode):
    Image.new(mode, (5, 4)).save(tmp_path / 'x.png')
    data = bytearray((tmp_path / 'x.png').read_bytes())
    assert read_png(str(tmp_path / 'x.png')).shape[:2] == (4, 5)
    data[data.index(b'IDAT') + 6] ^= 4
    (tmp_path / 'x.png').write_bytes(data)
    with pytest.raises(ValueError, match="x.png .* checksum of its chunk 'IDAT'"):
        read_png(str(tmp_path / 'x.png'))


def greyscale(bits: int, pixels: bytes, colour=0) -> bytes:
    """One row of two pixels."""
    header = struct.pack('>IIBBBBB', 2, 1, bits, colour, 0, 0, 0)
    return SIGNATURE + chunk(b'IHDR', header) + chunk(b'IDAT', zlib.compress(b'\0' + pixels)) + chunk(b'IEND', b'')


def refused(tmp_path, data: bytes) -> str:
    (tmp_path / 'x.png').write_bytes(data)
    with pytest.raises(ValueError, match=r'x\.png') as error:
        read_png(str(tmp_path / 'x.png'))
    return str(error.value)


def test_bits_and_colours_as_they_stand_in_the_file(tmp_path):
    for data, pixels in (
        (greyscale(8, b'\x01\xfe'), [[1, 254]]),
        (greyscale(16, b'\x01\x02\xfe\xff'), [[258, 65279]]),
        (greyscale(8, bytes(range(1, 7)), colour=2), [[[1, 2, 3], [4, 5, 6]]]),
        (greyscale(8, bytes(range(1, 9)), colour=6), [[[1, 2, 3, 4], [5, 6, 7, 8]]]),
    ):
        (tmp_path / 'x.png').write_bytes(data)
        assert read_png(str(tmp_path / 'x.png')).tolist() == pixels
    assert 'is a greyscale PNG with 4 bit' in refused(tmp_path, greyscale(4, b'\x12'))
    assert 'is not a PNG file (32 bytes)' in refused(tmp_path, greyscale(8, b'12')[:32])
    assert 'is not a PNG file' in refused(tmp_path, b'x' * 50)


def test_chunks_begin_and_end_where_they_should(tmp_path):
    whole = greyscale(8, b'\x01\xfe')
    (tmp_path / 'x.png').write_bytes(whole + b'what follows belongs to somebody else' * 3)
    assert read_png(str(tmp_path / 'x.png')).tolist() == [[1, 254]]
    before_last = 'it ends before its last chunk'
    for broken in (whole[:-12], whole[:-1], SIGNATURE + chunk(b'tEXt', bytes(20)) + whole[8:]):
        assert before_last in refused(tmp_path, broken)


def test_streams_of_palette_files_are_exact(tmp_path):
    indices = np.arange(12, dtype=np.uint8).reshape(3, 4)
    assert read_png(write_palette(tmp_path / 'a.png', indices, colours=12)).max() == 11
    with pytest.raises(ValueError, match='holds the index 11, but its palette has 11 colours'):
        read_png(write_palette(tmp_path / 'b.png', indices, colours=11))
    one_row = np.zeros((1, 5), dtype=np.uint8)  # five pixels of 4 bits take three bytes
    assert_array_equal(read_png(write_palette(tmp_path / 'c.png', one_row, bits=4)), one_row)
    header = chunk(b'IHDR', struct.pack('>IIBBBBB', 2, 1, 8, 3, 0, 0, 0)) + chunk(b'PLTE', bytes(6))
    for stream, message in (
        (zlib.compress(b'\0\0\1\1'), '4 bytes of pixels in it, expected 3'),
        (b'no stream at all', 'cannot be decoded'),
    ):
        assert message in refused(tmp_path, SIGNATURE + header + chunk(b'IDAT', stream) + chunk(b'IEND', b''))
    stream = zlib.compress(b'\0\0\1')
    parts = chunk(b'IDAT', stream[:4]) + chunk(b'IDAT', stream[4:])
    (tmp_path / 'x.png').write_bytes(SIGNATURE + header + parts + chunk(b'IEND', b''))
    assert read_png(str(tmp_path / 'x.png')).tolist() == [[0, 1]]


def test_a_palette_file_that_claims_to_be_huge_is_not_decoded(tmp_path):
    header = struct.pack('>IIBBBBB', 2**15, 2**14, 8, 3, 0, 0, 0)
    data = SIGNATURE + chunk(b'IHDR', header) + chunk(b'IDAT', b'') + chunk(b'IEND', b'')
    assert 'claims 32768 x 16384 pixels' in refused(tmp_path, data)
