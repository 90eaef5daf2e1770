"""Whether labels lie on their photos as they are, or rather turned or mirrored: no size tells it of half a turn."""

from __future__ import annotations

from collections import Counter

import cv2
import numpy as np

from mlore_mm.tasks import Finding, Task

_SIDE = 256  # pixels; larger images are thinned out
_LEAST_IMAGES = 4
_FACTOR, _SHARE = 1.15, 0.8  # how much better a turned label has to fit, and in how many of the images
AS_IT_IS = 'as it is'
TURNS = {
    'turned by 180 degrees': lambda x: x[::-1, ::-1],
    'mirrored': lambda x: x[:, ::-1],
    'upside down': lambda x: x[::-1],
}
SQUARE_TURNS = {
    'turned by 90 degrees': lambda x: np.rot90(x, 1),
    'turned by 270 degrees': lambda x: np.rot90(x, -1),
    'transposed': lambda x: np.swapaxes(x, 0, 1),
}


class Alignment:
    """Sums over the photos and labels of one task; adds up over samples and processes.

    Borders of labels lie on edges of the photo. So the mean gradient of the photo at the borders, over that of the
    whole photo, tells which way a label lies on it: about 2 where it is right, about 1 where it is not.
    """

    def __init__(self) -> None:
        self.images = self.tagged = 0
        self.scores: Counter = Counter()  # sums by way
        self.square: Counter = Counter()  # those of square images, for which there are more ways
        self.square_images = 0
        self.wins: Counter = Counter()

    def add(self, image: np.ndarray, label: np.ndarray, valid: np.ndarray, orientation: int = 1) -> None:
        """Take in a photo (H, W, C), its label (H, W) or (H, W, C), (H, W) bool of what counts, and the EXIF tag."""
        self.tagged += orientation != 1
        step = max(max(image.shape[:2]) // _SIDE, 1)
        label, valid = label[::step, ::step], valid[::step, ::step]
        edges = _edges(image[::step, ::step])
        borders = _borders(label, valid)
        if not edges.any() or borders.sum() < 8:
            return
        ways = {AS_IT_IS: lambda x: x, **TURNS, **(SQUARE_TURNS if edges.shape[0] == edges.shape[1] else {})}
        scores = {way: float(edges[turn(borders)].mean() / edges.mean()) for way, turn in ways.items()}
        self.images += 1
        self.scores.update(scores)
        self.wins.update(way for way, score in scores.items() if score > scores[AS_IT_IS])
        if edges.shape[0] == edges.shape[1]:
            self.square_images += 1
            self.square.update(scores)

    def merge(self, other: Alignment) -> Alignment:
        for name in ('images', 'tagged', 'square_images'):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for name in ('scores', 'square', 'wins'):
            getattr(self, name).update(getattr(other, name))
        return self

    def findings(self, task: Task) -> list[Finding]:
        """A warning where labels fit better another way, and one about photos with an EXIF tag."""
        found = []
        if self.tagged:
            text = (
                f'{self.tagged} photos have an EXIF tag that asks to be turned, which viewers and annotation tools do; '
                f'here they are taken as they lie in the file'
            )
            found.append(Finding('warning', 'photos', text, 'store them turned, without the tag, if the labels are'))
        for sums, images, ways in (
            (self.square, self.square_images, {**TURNS, **SQUARE_TURNS}),
            (self.scores, self.images, TURNS),
        ):
            best = max(ways, key=lambda way, sums=sums: sums[way])
            now = sums[AS_IT_IS]
            if images < _LEAST_IMAGES or sums[best] < _FACTOR * now or self.wins[best] < _SHARE * images:
                continue
            text = (
                f'the borders of the labels lie on edges of the photos where a label is {best} '
                f'({sums[best] / images:.2f} times the mean gradient, better in {self.wins[best]} of {images} images), '
                f'and not {AS_IT_IS} ({now / images:.2f})'
            )
            found.append(Finding('warning', task.name, text, 'look at some with browse_dataset.py, and turn the files'))
            break
        return found


def _edges(image: np.ndarray) -> np.ndarray:
    """(H, W) strength of the gradient of a photo (H, W, C)."""
    grey = image.astype(np.float32).mean(axis=2)
    grey = cv2.GaussianBlur(grey, (5, 5), 1.0)
    return cv2.magnitude(cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1))


def _borders(label: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """(H, W) bool: the tenth of the labelled pixels at which the label changes most, if it changes there at all."""
    values = np.atleast_3d(label).astype(np.float32)
    change = np.zeros(valid.shape, dtype=np.float32)
    change[:, 1:] += np.abs(np.diff(values, axis=1)).sum(axis=2) * (valid[:, 1:] & valid[:, :-1])
    change[1:] += np.abs(np.diff(values, axis=0)).sum(axis=2) * (valid[1:] & valid[:-1])
    if not change.any():
        return change > 0
    return (change > 0) & (change >= np.quantile(change[valid], 0.9))
