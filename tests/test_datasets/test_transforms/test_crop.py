import numpy as np
import pytest
from numpy.testing import assert_array_equal

from mlore_mm.datasets.transforms import MultiTaskCentreCrop, MultiTaskRandomCrop
from mlore_mm.datasets.transforms import crop as crop_module
from mlore_mm.datasets.transforms.crop import _largest_share
from mlore_mm.tasks import SemSeg, TaskSet

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


def test_the_counted_task_is_named_or_the_first_class_map(monkeypatch):
    parts = dict(type='HumanParts')
    assert count_mixed(MultiTaskRandomCrop((20, 10)), half(), depth=DEPTH) < 0.45
    assert count_mixed(MultiTaskRandomCrop((20, 10)), half(), depth=DEPTH, semseg=parts) > 0.75
    said = []
    monkeypatch.setattr(crop_module, 'say_once', lambda key, message: said.append(message))
    assert count_mixed(MultiTaskRandomCrop((20, 10), task='absent'), half()) < 0.45
    assert "task='absent') counts no classes, as the tasks are ['depth', 'semseg']" in said[0]
    with pytest.raises(ValueError, match=r"task='depth'\) needs a task of classes, such as \['semseg'\]"):
        MultiTaskRandomCrop((20, 10), task='depth')(sample(half()))


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


@pytest.mark.parametrize(
    ('ids', 'options', 'share'),
    [
        ([0, 0, 0, 3], {}, 0.75),
        ([0, 3, 255, 255], {}, 0.5),
        ([255, 255], {}, 1),
        ([0, 0, 2, 3], dict(ignore_value=0), 0.5),
        ([0, 255, 2, 2], dict(ignore_value=0), 1),
        ([5, 5, 7, 3], dict(ignore_value=5, out_channels=9), 0.5),
        ([300, 300, 300, 2, 999], dict(ignore_value=999, out_channels=301, dtype='uint16'), 0.75),
    ],
)
def test_the_largest_share_of_the_labelled_pixels(ids, options, share):
    task = SemSeg(name='semseg', **options)
    assert _largest_share(np.array([ids], dtype=task.dtype), task) == share


def test_a_share_at_the_limit_is_too_large_and_ten_more_are_tried(monkeypatch):
    """Three quarters of every window are one class: eleven windows are drawn, and with a higher limit one."""
    labels = np.tile(np.array([0, 0, 0, 1], np.uint8), (20, 10))
    for limit, drawn in ((0.75, 11), (0.76, 1), (1, 1)):
        crop, seen = MultiTaskRandomCrop((20, 40), cat_max_ratio=limit), []
        inner = crop._draw_window
        monkeypatch.setattr(crop, '_draw_window', lambda shape, inner=inner, seen=seen: seen.append(1) or inner(shape))
        crop(sample(labels))
        assert len(seen) == drawn


def test_intrinsics_follow_the_window():
    for crop in (MultiTaskRandomCrop((20, 40)), MultiTaskCentreCrop((8, 10))):
        results = dict(sample(half()), intrinsics=(9.0, 8.0, 20.0, 10.0))
        fx, fy, u, v = crop(results)['intrinsics']
        top, left = divmod(int(results['targets']['depth'][0, 0]), 40)
        assert (fx, fy, u, v) == (9, 8, 20 - left, 10 - top)
    assert MultiTaskRandomCrop((1, 1), cat_max_ratio=1)(sample(half()))['img'].shape == (1, 1, 3)
    assert 'targets' in MultiTaskCentreCrop((4, 4))(dict(img=np.zeros((9, 9, 3)), tasks=None))
