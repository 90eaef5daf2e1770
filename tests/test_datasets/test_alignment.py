"""Labels that lie on their photos turned: found by the edges, which no size tells."""

import cv2
import numpy as np
import pytest

from mlore_mm.datasets.alignment import AS_IT_IS, SQUARE_TURNS, TURNS, Alignment
from mlore_mm.datasets.survey import Photo, TaskSurvey
from mlore_mm.tasks import Depth, SemSeg

NOISE = np.random.default_rng(0)


def scenes(count: int, size: tuple[int, int]):
    """Photos of random boxes with noise, and the ids of the boxes."""
    for _ in range(count):
        ids, photo = np.zeros(size, np.uint8), np.full((*size, 3), 90, np.uint8)
        for number in range(1, 5):
            y, x = (int(NOISE.integers(side - 12)) for side in size)
            box = slice(y, y + int(NOISE.integers(8, 30))), slice(x, x + int(NOISE.integers(8, 30)))
            ids[box], photo[box] = number, NOISE.integers(0, 255, 3)
        yield np.clip(photo + NOISE.normal(0, 8, photo.shape), 0, 255).astype(np.uint8), ids


def found(turn, size=(60, 80), count=10):
    total = Alignment()
    for photo, ids in scenes(count, size):
        part = Alignment()
        part.add(photo, np.ascontiguousarray(turn(ids)), np.ones(size, bool))
        total.merge(part)
    return [finding.text for finding in total.findings(SemSeg(name='semseg', out_channels=5))]


@pytest.mark.parametrize('size', [(60, 80), (64, 64)])
def test_right_labels_are_not_told(size):
    assert found(lambda x: x, size) == []


@pytest.mark.parametrize(
    ('turn', 'words'),
    [
        (lambda x: x[::-1, ::-1], 'turned by 180 degrees'),
        (lambda x: x[:, ::-1], 'mirrored'),
        (lambda x: x[::-1], 'upside down'),
    ],
)
def test_half_turns_and_mirrors(turn, words):
    (text,) = found(turn)
    assert f'where a label is {words} (' in text
    assert 'of 10 images' in text


def test_quarter_turns_of_square_photos():
    (text,) = found(lambda x: np.rot90(x), (64, 64))
    assert 'where a label is turned by 270 degrees' in text  # back again


def test_three_images_are_too_few():
    assert found(lambda x: x[::-1, ::-1], count=3) == []


def test_flat_photos_and_labels_say_nothing():
    alignment = Alignment()
    alignment.add(np.zeros((20, 20, 3), np.uint8), np.eye(20, dtype=np.uint8), np.ones((20, 20), bool))
    alignment.add(cv2.merge([np.eye(20, dtype=np.uint8)] * 3), np.zeros((20, 20), np.uint8), np.ones((20, 20), bool))
    assert alignment.images == 0


def test_exif_tags_are_counted_for_the_data_set():
    survey = TaskSurvey(Depth(name='depth'))
    depth = np.linspace(1, 3, 600, dtype=np.float32).reshape(20, 30)
    for orientation in (1, 6, 3):
        survey.add(depth, depth, None, Photo(np.zeros((20, 30, 3), np.uint8), orientation))
    (finding,) = survey.alignment.findings(survey.task)
    assert str(finding).startswith('warning: photos: 2 photos have an EXIF tag that asks to be turned')


def test_how_sure_a_warning_is():
    """Another way has to be 15 % better in the sum, in 8 of 10 images, and over 4 images; the best one is told."""

    def judged(images=10, now=100.0, wins=8, **sums):
        made = Alignment()
        made.images = images
        made.scores.update({AS_IT_IS: now, **{way.replace('_', ' '): score for way, score in sums.items()}})
        made.wins.update(dict.fromkeys(sums, wins))
        return made.findings(SemSeg(name='s'))

    (finding,) = judged(mirrored=116)
    assert finding.text.endswith('(11.60 times the mean gradient, better in 8 of 10 images), and not as it is (10.00)')
    assert judged(mirrored=114) == judged(mirrored=116, wins=7) == judged(mirrored=116, images=3) == []
    assert len(judged(mirrored=116, images=4, wins=4)) == 1
    assert len(judged(mirrored=115)) == 1


def test_sums_of_square_images_are_kept_apart():
    (photo, ids), (wide, wide_ids) = next(scenes(1, (64, 64))), next(scenes(1, (60, 80)))
    one, other = Alignment(), Alignment()
    one.add(photo, ids, np.ones((64, 64), bool), 3)
    other.add(wide, wide_ids, np.ones((60, 80), bool))
    merged = one.merge(other)
    assert (merged.images, merged.square_images, merged.tagged) == (2, 1, 1)
    assert set(merged.square) == {AS_IT_IS, *TURNS, *SQUARE_TURNS} == set(merged.scores)
    assert merged.scores['transposed'] == merged.square['transposed']
    assert merged.scores['mirrored'] > merged.square['mirrored']
    assert merged.scores[AS_IT_IS] > 2 * 1.3  # about 2 each


def test_large_photos_are_thinned_out_and_unlabelled_borders_left_out():
    label = np.zeros((600, 512), np.uint8)
    label[:, 256:] = 1
    image = np.repeat(label[..., None] * 200, 3, axis=2)
    large, small = Alignment(), Alignment()
    large.add(image, label, np.ones(label.shape, bool))
    small.add(image[::2, ::2], label[::2, ::2], np.ones((300, 256), bool))
    assert large.scores == small.scores
    nothing = Alignment()
    nothing.add(image, label, np.abs(np.arange(512) - 256)[None].repeat(600, axis=0) > 2)
    assert nothing.images == 0
