"""What to run on: a picture, many, or a stream of frames, one after the other."""

import glob
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlparse

import cv2
import numpy as np
from PIL import Image

from mlore_mm.apis.inference.photos import PHOTO_SUFFIXES, PhotoError, read_input

VIDEO_SUFFIXES = ('.mp4', '.avi', '.mov', '.mkv', '.webm', '.m4v', '.mpg', '.mpeg', '.wmv')
_WILD = set('*?[')


@dataclass(frozen=True)
class Photo:
    """A picture that is read when it is wanted.

    Args:
        name: Stem of the files that are written for it; no two pictures of a run share one.
        source: What :func:`read_input` takes.
        label: What messages and the index call it.
    """

    name: str
    source: object
    label: str

    def read(self, channels: int = 3) -> np.ndarray:
        """(H, W, 3) uint8 BGR; or with more channels, see :func:`read_input`."""
        return read_input(self.source, self.label, channels)


class PhotoSource:
    """The pictures behind whatever a user gives; iterate over it.

    Args:
        inputs: A path, folder (its pictures by name), glob pattern, URL, array, Pillow image, video file, camera index
            (int), or an iterable of these.
        every: Take every n-th frame of videos and cameras.
        max_frames: Stop a video or camera after so many frames taken.

    Attributes:
        total: Number of pictures, None where it is not known beforehand.

    Raises:
        ValueError: Nothing was found, or an input of another kind.
    """

    def __init__(self, inputs, every: int = 1, max_frames: int | None = None) -> None:
        if every < 1 or (max_frames is not None and max_frames < 1):
            raise ValueError(f'every and max_frames count from 1, but got every={every} and max_frames={max_frames}.')
        self.every, self.max_frames = every, max_frames
        if isinstance(inputs, np.ndarray) and inputs.ndim == 4:
            inputs = list(inputs)
        if isinstance(inputs, Iterable) and not isinstance(inputs, (str, Path, np.ndarray, Image.Image, list, tuple)):
            self._parts, self.total = map(self._part, inputs), None  # a generator: one at a time
            return
        inputs = inputs if isinstance(inputs, (list, tuple)) else [inputs]
        self._parts = [self._part(x) for x in inputs]
        counts = [part.count for part in self._parts]
        self.total = None if None in counts else sum(counts)
        if self.total == 0:
            raise ValueError('There is nothing to run on: the list of inputs is empty.')

    def __iter__(self) -> Iterator[Photo]:
        used: set[str] = set()
        for part in self._parts:
            for photo in part:
                name = _unused(photo.name or f'{len(used):06d}', used)
                used.add(name)
                yield Photo(name, photo.source, photo.label or f'picture {name}')

    def _part(self, source):
        if isinstance(source, (np.ndarray, Image.Image)):
            return _Photos([Photo('', source, '')])
        if isinstance(source, (int, np.integer)) and not isinstance(source, bool):
            return _Video(int(source), self.every, self.max_frames)
        if not isinstance(source, (str, Path)):
            raise ValueError(
                f'Cannot run on {type(source).__name__}: give a path, URL, array, picture or camera index.'
            )
        text = str(source)
        suffix = Path(urlparse(text).path if '://' in text else text).suffix.lower()
        if suffix in VIDEO_SUFFIXES and '*' not in text:
            return _Video(text, self.every, self.max_frames)
        return _Photos([_photo(path) for path in _paths(text)])


class _Photos(list):
    @property
    def count(self) -> int:
        return len(self)


class _Video:
    """Frames of a file or camera, decoded one at a time.

    By OpenCV and not by mmcv.VideoReader, which takes no camera index and no stream other than http, and decodes the
    frames that ``every`` passes over.
    """

    def __init__(self, source: str | int, every: int, max_frames: int | None) -> None:
        self.source, self.every, self.max_frames = source, every, max_frames
        self.stem = f'camera{source}' if isinstance(source, int) else Path(source).stem
        capture = self._open()
        frames = 0 if isinstance(source, int) else int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
        self.fps = capture.get(cv2.CAP_PROP_FPS) or None
        capture.release()
        known = -(-frames // every) if frames > 0 else None
        self.count = min(known, max_frames or known) if known else None

    def _open(self) -> cv2.VideoCapture:
        if isinstance(self.source, str) and '://' not in self.source and not Path(self.source).is_file():
            raise PhotoError(f'There is no video {self.source}.')
        capture = cv2.VideoCapture(self.source)
        if not capture.isOpened():
            raise PhotoError(f'{self._label} cannot be opened: no such device, or a format that OpenCV does not read.')
        return capture

    @property
    def _label(self) -> str:
        return f'Camera {self.source}' if isinstance(self.source, int) else f'Video {self.source}'

    def __iter__(self) -> Iterator[Photo]:
        capture, index, taken = self._open(), 0, 0
        try:
            while self.max_frames is None or taken < self.max_frames:
                if not capture.grab():
                    break
                if index % self.every == 0:
                    ok, frame = capture.retrieve()
                    if ok:
                        taken += 1
                        yield Photo(f'{self.stem}_{index:06d}', frame, f'frame {index} of {self._label.lower()}')
                index += 1
        finally:
            capture.release()
        if not taken:
            raise PhotoError(f'{self._label} gave no frame.')


def _unused(name: str, used: set[str]) -> str:
    candidate, number = name, 1
    while candidate in used:
        number += 1
        candidate = f'{name}_{number}'
    return candidate


def _photo(path: str) -> Photo:
    return Photo(Path(urlparse(path).path if '://' in path else path).stem, path, path)


def _paths(text: str) -> list[str]:
    """The files behind a path, folder, pattern or URL."""
    if '://' in text:
        return [text]
    path = Path(text)
    if path.is_dir():
        files = sorted(str(x) for x in path.iterdir() if x.suffix.lower() in PHOTO_SUFFIXES)
        if not files:
            raise ValueError(f'The folder {text} holds no picture: looked for {" ".join(PHOTO_SUFFIXES)}.')
        return files
    if _WILD & set(text) and not path.exists():
        files = sorted(x for x in glob.glob(text, recursive=True) if Path(x).suffix.lower() in PHOTO_SUFFIXES)
        if not files:
            raise ValueError(f'No picture matches {text}.')
        return files
    if not path.exists():
        raise PhotoError(f'There is no file or folder {text}.')
    return [text]
