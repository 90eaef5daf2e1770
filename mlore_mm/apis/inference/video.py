"""Predictions on a video as a video."""

from pathlib import Path

import cv2
import numpy as np

from mlore_mm.apis.inference.result_writer import ImageResult
from mlore_mm.visualization import Bar, Cell, Column, compose

_CODECS = {'.mp4': 'mp4v', '.avi': 'MJPG', '.mkv': 'mp4v'}
_INERTIA = 0.9


class VideoPanels:
    """Panels whose size and colours stay calm from frame to frame: no legend of classes, and slow colour ranges."""

    def __init__(self) -> None:
        self._ranges: dict[str, np.ndarray] = {}

    def __call__(self, result: ImageResult) -> np.ndarray:
        """Photo and predictions of one frame side by side, (height, width, 3) uint8 RGB."""
        columns = [Column([Cell('frame', result.image)])]
        for name, task in result.tasks.items():
            values = result.array(name)
            value_range = self._range(name, task.value_range(values))
            column = Column([Cell(name, task.draw(values, value_range))])
            if task.colormap and value_range:
                column.legends.append(Bar(task.colormap, *value_range, task.values_unit))
            columns.append(column)
        return compose(columns, result.image.shape[:2])

    def _range(self, name: str, now: tuple[float, float] | None) -> tuple[float, float] | None:
        if now is None:
            return None
        before = self._ranges.get(name, np.asarray(now))
        self._ranges[name] = _INERTIA * before + (1 - _INERTIA) * np.asarray(now)
        return tuple(self._ranges[name].tolist())


class VideoFile:
    """A video that is written frame by frame, of the size of the first one.

    Args:
        path: .mp4, .mkv or .avi.
        fps: Frames a second.

    Raises:
        ValueError: Another suffix, or OpenCV cannot write there.
    """

    def __init__(self, path: str | Path, fps: float) -> None:
        self.path, self.fps, self._writer = Path(path), fps, None
        if self.path.suffix.lower() not in _CODECS:
            raise ValueError(f'Videos are written as {" ".join(_CODECS)}, but got {path}.')
        if fps <= 0:
            raise ValueError(f'Frames a second have to be above 0, but got {fps}.')

    def write(self, frame: np.ndarray) -> None:
        """(height, width, 3) uint8 RGB."""
        height, width = (side // 2 * 2 for side in frame.shape[:2])  # codecs want even sides
        if self._writer is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            codec = cv2.VideoWriter_fourcc(*_CODECS[self.path.suffix.lower()])
            self._writer = cv2.VideoWriter(str(self.path), codec, self.fps, (width, height))
            if not self._writer.isOpened():
                raise ValueError(f'OpenCV cannot write {self.path}. Try .avi, which it writes without other libraries.')
        self._writer.write(np.ascontiguousarray(frame[:height, :width, ::-1]))

    def close(self) -> None:
        if self._writer is not None:
            self._writer.release()


def frame_rate(source: str | int, every: int = 1, default: float = 25.0) -> float:
    """Frames a second of a video or camera of which every n-th frame is taken."""
    capture = cv2.VideoCapture(source)
    fps = capture.get(cv2.CAP_PROP_FPS)
    capture.release()
    return (fps if fps and np.isfinite(fps) and fps > 0 else default) / every
