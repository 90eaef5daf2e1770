import numpy as np
import pytest
from numpy.testing import assert_array_equal

from mlore_mm.datasets.transforms import MultiTaskCentreCrop, MultiTaskRandomCrop
from mlore_mm.tasks import TaskSet

DEPTH = dict(type='Depth')


def sample(labels, **tasks):
    height, width = labels.shape
    targets = dict(semseg=labels, depth=np.arange(height * width, dtype=np.float32).reshape(height, width))
    tasks = TaskSet(tasks or dict(depth=DEPTH, semseg=dict(type='SemSeg')))
    image = np.repeat(targets['depth'][..., None], 3, axis=2)
    return dict(img=image, tasks=tasks, targets={name: targets[name] for name in tasks})


def half(labelled=1):
    """Left half class 0, right half another value; (20, 40)."""
    return np.repeat([[0, labelled]], 20, axis=0).repeat(20, axis=1).astype(np.uint8)


def test_image_and_labels_are_cut_alike():
    results = MultiTaskRandomCrop((8, 9))(sample(half()))
    assert results['img'].shape == (8, 9, 3)
    assert results['img_shape'] == (8, 9)
    assert results['targets']['semseg'].shape == (8, 9)
    assert_array_equal(results['img'][..., 0], results['targets']['depth'])


def test_every_place_is_possible():
    crop = MultiTaskRandomCrop((19, 38), cat_max_ratio=1)
    corners = {int(crop(sample(half()))['targets']['depth'][0, 0]) for _ in range(200)}
    assert corners == {0, 1, 2, 40, 41, 42}


def test_short_sides_stay_whole():
    assert MultiTaskRandomCrop((100, 10))(sample(half()))['img'].shape == (20, 10, 3)


def count_mixed(crop, labels, **tasks):
    windows = [crop(sample(labels, **tasks))['targets'] for _ in range(150)]
    columns = [window['depth'][0] % 40 for window in windows]
    return sum(bool(c[0] < 20 <= c[-1]) for c in columns) / len(columns)


def test_windows_of_one_class_are_drawn_again():
    # a window of 10 columns shows both halves at 9 of 31 places, one class below 75% of it at 5 places
    plain = count_mixed(MultiTaskRandomCrop((20, 10), cat_max_ratio=1), half())
    retried = count_mixed(MultiTaskRandomCrop((20, 10)), half())
    assert plain < 0.45
    assert retried > 0.75


def test_ignored_pixels_do_not_count_as_a_class():
    assert count_mixed(MultiTaskRandomCrop((20, 10)), half(255)) < 0.45


def test_the_counted_task_is_named_or_the_first_class_map():
    parts = dict(type='HumanParts')
    assert count_mixed(MultiTaskRandomCrop((20, 10)), half(), depth=DEPTH) < 0.45
    assert count_mixed(MultiTaskRandomCrop((20, 10)), half(), depth=DEPTH, semseg=parts) > 0.75
    assert count_mixed(MultiTaskRandomCrop((20, 10), task='absent'), half()) < 0.45


@pytest.mark.parametrize('options', [dict(crop_size=(0, 5)), dict(crop_size=(5, 5), cat_max_ratio=0)])
def test_bad_options(options):
    with pytest.raises(ValueError, match='Cannot crop to'):
        MultiTaskRandomCrop(**options)


def test_a_window_without_labels_is_drawn_again():
    """Left half a checkerboard of two classes, right half not labelled: 11 of 31 places see no label at all."""
    labels = np.full((20, 40), 255, np.uint8)
    labels[:, :20:2], labels[:, 1:20:2] = 0, 1
    crop = MultiTaskRandomCrop((20, 10))
    empty = [(crop(sample(labels))['targets']['semseg'] == 255).all() for _ in range(150)]
    assert np.mean(empty) < 0.1


def test_the_middle():
    results = MultiTaskCentreCrop((7, 100))(sample(half()))
    assert results['img'].shape == (7, 40, 3)
    assert results['ori_shape'] == results['img_shape'] == (7, 40)
    assert results['targets']['depth'][0, 0] == 6 * 40
    assert_array_equal(results['img'][..., 0], results['targets']['depth'])


def test_the_middle_of_what_is_brought_back_to_the_file_is_refused():
    with pytest.raises(ValueError, match='scored_here=True'):
        MultiTaskCentreCrop((7, 7))(dict(sample(half()), scale_factor=(0.5, 0.5)))
