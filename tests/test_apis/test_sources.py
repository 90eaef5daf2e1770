from itertools import count, islice

import cv2
import numpy as np
import pytest
from PIL import Image

from mlore_mm.apis.inference import video as module
from mlore_mm.apis.inference.photos import PhotoError
from mlore_mm.apis.inference.result_writer import ImageResult
from mlore_mm.apis.inference.sources import Photo, PhotoSource
from mlore_mm.apis.inference.video import VideoFile, VideoPanels, frame_rate
from mlore_mm.structures import MultiTaskDataSample
from mlore_mm.tasks import TaskSet


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
    assert [photo.label for photo in frames][1] == f'frame 2 of video {video}'
    for options, total in ((dict(every=4), 2), (dict(every=9), 1), (dict(max_frames=4), 4), (dict(max_frames=9), 6)):
        assert (PhotoSource(video, **options).total, len(names(video, **options))) == (total, total)
    assert PhotoSource([video, np.zeros((2, 2, 3), np.uint8)]).total == 7
    for wrong in (dict(every=0), dict(max_frames=0)):
        with pytest.raises(ValueError, match='every and max_frames count from 1'):
            PhotoSource(video, **wrong)


@pytest.mark.parametrize(
    ('inputs', 'message'),
    [
        ('nowhere.png', 'no file or folder nowhere.png'),
        ('{folder}/sub/*.jpg', r'No picture matches .*\*.jpg'),
        ('nowhere.mp4', 'no video nowhere.mp4'),
        ([], 'list of inputs is empty'),
        ([1.5], 'Cannot run on float'),
        ([True], 'Cannot run on bool'),
        ('{folder}/*.txt', r'No picture matches'),
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


def test_names_labels_and_odd_names(folder):
    pixels = np.zeros((2, 2, 3), np.uint8)
    (first, second) = PhotoSource([pixels, Image.new('RGB', (2, 2))])
    assert (first.label, second.label, first.read().shape) == ('picture 000000', 'picture 000001', (2, 2, 3))
    assert names([folder / 'a.jpg'] * 3) == ['a', 'a_2', 'a_3']
    Image.new('RGB', (4, 3)).save(folder / 'c[1].PNG', format='PNG')
    assert names(str(folder / 'c[1].PNG')) == ['c[1]']
    assert names(folder) == ['a', 'b', 'c[1]']
    (photo,) = PhotoSource('https://somewhere/d/e.png?x=1')
    assert (photo.name, photo.source, photo.label) == ('e', *['https://somewhere/d/e.png?x=1'] * 2)
    assert Photo('a', np.zeros((2, 2, 5)), 'b').read(5).shape == (2, 2, 5)


def test_what_is_no_video_and_no_camera(folder):
    (folder / 'empty.avi').touch()
    for source, text in (('{}/empty.avi', 'Video .*empty.avi cannot be opened'), (97, 'Camera 97 cannot be opened')):
        source = source.format(folder) if isinstance(source, str) else np.int64(source)
        with pytest.raises(PhotoError, match=text):
            PhotoSource(source)


def test_colour_ranges_follow_slowly():
    """The largest distance jumps from 2 to 12 m: a tenth of the way."""
    tasks, panels = TaskSet(dict(depth=dict(type='Depth'), edge=dict(type='Edge'))), VideoPanels()
    depth = tasks['depth']
    seen = [depth.value_range(np.array([[[0.0, top]]])) for top in (2.0, 12.0)]
    first, second = (panels._range('depth', value) for value in seen)
    assert first == pytest.approx(seen[0])
    assert second == pytest.approx([0.9 * a + 0.1 * b for a, b in zip(*seen, strict=True)])
    assert panels._range('other', seen[1]) == pytest.approx(seen[1])
    assert panels._range('edge', None) is None


def test_a_panel_has_a_column_for_each_task(monkeypatch):
    columns = []
    monkeypatch.setattr(module, 'compose', lambda found, size: columns.extend(found) or size)
    tasks = TaskSet(dict(semseg=dict(type='SemSeg', out_channels=2), depth=dict(type='Depth')))
    sample = MultiTaskDataSample()
    sample.pred = dict_of(semseg=np.zeros((1, 4, 6), np.int64), depth=np.ones((1, 4, 6), np.float32))
    size = VideoPanels()(ImageResult('a', 'a', np.zeros((4, 6, 3), np.uint8), sample, tasks))
    assert size == (4, 6)
    assert [len(column.legends) for column in columns] == [0, 0, 1]  # a bar for metres, no list of classes


def dict_of(**maps):
    import torch
    from mmengine.structures import PixelData

    return PixelData(**{name: torch.from_numpy(x) for name, x in maps.items()})


def test_files_of_videos(tmp_path):
    for path, fps, text in (
        ('a.gif', 5, 'written as .mp4 .avi .mkv, but got a.gif'),
        ('a.avi', 0, 'above 0, but got 0'),
    ):
        with pytest.raises(ValueError, match=text):
            VideoFile(path, fps)
    file = VideoFile(tmp_path / 'new' / 'a.AVI', 8)
    file.close()  # nothing was written
    frame = np.zeros((33, 49, 3), np.uint8)
    frame[..., 0] = 200  # red
    file.write(frame)
    file.close()
    read = cv2.VideoCapture(str(tmp_path / 'new' / 'a.AVI'))
    ok, found = read.read()
    assert ok
    assert found.shape == (32, 48, 3)
    assert found[..., 2].mean() > 150 > 60 > found[..., 0].mean()


@pytest.mark.parametrize(
    ('fps', 'every', 'rate'), [(30.0, 1, 30), (30.0, 3, 10), (0.0, 5, 5), (np.nan, 1, 25), (-1, 1, 25)]
)
def test_frames_a_second(monkeypatch, fps, every, rate):
    class Capture:
        def __init__(self, source):
            pass

        def get(self, what):
            return fps

        def release(self):
            pass

    monkeypatch.setattr(cv2, 'VideoCapture', Capture)
    assert frame_rate('a', every) == rate
