from itertools import count, islice

import cv2
import numpy as np
import pytest
from PIL import Image

from mlore_mm.apis.inference.photos import PhotoError
from mlore_mm.apis.inference.sources import PhotoSource


@pytest.fixture
def folder(tmp_path):
    (tmp_path / 'sub').mkdir()
    for name in ('b.png', 'a.jpg', 'sub/a.png'):
        Image.new('RGB', (4, 3), 'red').save(tmp_path / name)
    (tmp_path / 'notes.txt').write_text('no picture')
    return tmp_path


@pytest.fixture
def video(tmp_path):
    path = tmp_path / 'walk.avi'
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'MJPG'), 5, (16, 8))
    for i in range(6):
        writer.write(np.full((8, 16, 3), 40 * i, np.uint8))
    writer.release()
    return str(path)


def names(inputs, **options) -> list[str]:
    return [photo.name for photo in PhotoSource(inputs, **options)]


def test_files_folders_patterns_and_lists(folder):
    assert names(folder / 'b.png') == ['b']
    assert names(folder) == ['a', 'b']
    assert names(f'{folder}/**/*.png') == ['b', 'a']
    several = PhotoSource([folder, str(folder / 'sub' / 'a.png'), np.zeros((2, 2, 3), np.uint8)])
    assert several.total == 4
    assert [photo.name for photo in several] == ['a', 'b', 'a_2', '000003']  # no file is written over another


def test_arrays_and_generators():
    stack = np.arange(2 * 3 * 4 * 3, dtype=np.uint8).reshape(2, 3, 4, 3)
    read = [photo.read() for photo in PhotoSource(stack)]
    np.testing.assert_array_equal(read, stack)
    endless = (stack[i % 2] for i in count())
    source = PhotoSource(endless)
    assert source.total is None
    assert [photo.name for photo in islice(source, 3)] == ['000000', '000001', '000002']


def test_frames_of_a_video(video):
    source = PhotoSource(video, every=2)
    frames = list(source)
    assert source.total == 3
    assert [photo.name for photo in frames] == ['walk_000000', 'walk_000002', 'walk_000004']
    assert [round(photo.read().mean() / 40) for photo in frames] == [0, 2, 4]
    assert names(video, max_frames=2) == ['walk_000000', 'walk_000001']


@pytest.mark.parametrize(
    ('inputs', 'message'),
    [
        ('nowhere.png', 'no file or folder nowhere.png'),
        ('{folder}/sub/*.jpg', r'No picture matches .*\*.jpg'),
        ('nowhere.mp4', 'no video nowhere.mp4'),
        ([], 'list of inputs is empty'),
        ([1.5], 'Cannot run on float'),
    ],
)
def test_nothing_to_run_on(folder, inputs, message):
    inputs = inputs.format(folder=folder) if isinstance(inputs, str) else inputs
    with pytest.raises(ValueError, match=message):
        PhotoSource(inputs)


def test_a_folder_without_pictures_and_a_broken_video(tmp_path):
    with pytest.raises(ValueError, match='holds no picture'):
        PhotoSource(tmp_path)
    (tmp_path / 'broken.avi').write_bytes(b'nothing')
    with pytest.raises(PhotoError, match='cannot be opened'):
        PhotoSource(str(tmp_path / 'broken.avi'))
