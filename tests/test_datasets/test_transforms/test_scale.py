from dataclasses import replace

import cv2
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image

from mlore_mm.datasets.transforms import MultiTaskRandomScale, MultiTaskResize
from mlore_mm.datasets.transforms.resampling import to_pixels
from mlore_mm.datasets.transforms.scale import resize_sample
from mlore_mm.registry import TASKS
from mlore_mm.tasks import TaskSet
from tests.test_tasks.kinds import KINDS, make, make_label, to_tensor


def sample(height=10, width=15):
    tasks = TaskSet(dict(semseg=dict(type='SemSeg'), depth=dict(type='Depth')))
    rng = np.random.default_rng(0)
    targets = dict(
        semseg=rng.integers(0, 21, (height, width), dtype=np.uint8),
        depth=rng.uniform(1, 9, (height, width)).astype(np.float32),
    )
    return dict(img=rng.integers(0, 256, (height, width, 3), dtype=np.uint8), tasks=tasks, targets=targets)


def test_sizes_are_rounded_down_and_depth_is_divided():
    results = MultiTaskRandomScale((1.37, 1.37))(sample())
    assert results['img'].shape == (13, 20, 3)
    assert results['img_shape'] == (13, 20)
    assert_allclose(results['scale_factor'], (20 / 15, 13 / 10))
    assert results['targets']['depth'].dtype == np.float32
    depth = cv2.resize(sample()['targets']['depth'], (20, 13), interpolation=cv2.INTER_NEAREST)
    assert_allclose(results['targets']['depth'], depth / 1.37, rtol=1e-6)
    assert set(np.unique(results['targets']['semseg'])) <= set(np.unique(sample()['targets']['semseg']))


def test_bytes_are_the_cut_fractions():
    fractions = MultiTaskRandomScale((1.37, 1.37), image_dtype='float32')(sample())['img']
    assert fractions.dtype == np.float32
    assert_array_equal(MultiTaskRandomScale((1.37, 1.37))(sample())['img'], fractions.astype(np.uint8))


def test_factors_cover_the_range():
    transform = MultiTaskRandomScale((0.5, 2.0))
    factors = [transform.draw() for _ in range(500)]
    assert 0.5 <= min(factors) < 0.52
    assert 1.98 < max(factors) <= 2
    assert np.mean(factors) == pytest.approx(1.25, abs=0.06)


def test_factor_one_changes_nothing():
    results = MultiTaskRandomScale((1, 1))(sample())
    assert_array_equal(results['img'], sample()['img'])
    assert_array_equal(results['targets']['depth'], sample()['targets']['depth'])


def test_a_pixel_remains_of_the_smallest_image():
    assert MultiTaskRandomScale((0.5, 0.5))(sample(1, 1))['img'].shape == (1, 1, 3)


def test_very_long_images_are_scaled():
    results = MultiTaskRandomScale((2, 2))(sample(20000, 2))
    assert results['img'].shape == (40000, 4, 3)
    assert_array_equal(results['targets']['semseg'][::2, ::2], sample(20000, 2)['targets']['semseg'])


@pytest.mark.parametrize('options', [dict(ratio_range=(2, 0.5)), dict(ratio_range=(0, 1)), dict(image_dtype='int8')])
def test_bad_options(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        MultiTaskRandomScale(**options)


def test_resize_fits_into_a_size_or_meets_it():
    fitted = MultiTaskResize((40, 30))(sample())
    assert fitted['img'].shape == (20, 30, 3)
    assert fitted['targets']['depth'].max() == pytest.approx(sample()['targets']['depth'].max() / 2)
    met = MultiTaskResize((40, 30), keep_ratio=False)(sample())
    assert met['targets']['semseg'].shape == (40, 30)
    assert met['targets']['depth'].max() == pytest.approx(sample()['targets']['depth'].max() / 8**0.5)


def test_scale_factors_multiply():
    results = MultiTaskRandomScale((3, 3))(MultiTaskRandomScale((2, 2))(sample()))
    assert results['scale_factor'] == (6, 6)


def test_without_labels_only_the_image_is_resized():
    results = sample()
    del results['targets']
    assert MultiTaskResize((20, 30))(results)['img'].shape == (20, 30, 3)


@pytest.mark.parametrize('factor', [0.5, 1.7, 2.0])
@pytest.mark.parametrize('kind', [kind for kind in KINDS if kind not in ('SemSeg', 'HumanParts')])
def test_nothing_is_mixed_with_pixels_without_a_label(kind, factor):
    """A flat label with a hole stays flat: no task sees a value between the label and what marks the hole."""
    task = replace(make(kind), interpolation='bilinear')
    pixel = make_label(task)[0, 0]
    target = np.empty_like(make_label(task, 16, 20))
    target[:] = pixel
    if kind in ('Saliency', 'Edge'):
        target[:] = pixel = 1
    target[3:9, 5:12] = 0 if kind == 'SurfaceNormals' else task.ignore_value
    results = dict(img=np.zeros((16, 20, 3), np.uint8), tasks=TaskSet({task.name: task}), targets={task.name: target})
    size = (int(16 * factor), int(20 * factor))
    resized = task.mask_values(resize_sample(results, size, factor)['targets'][task.name])
    assert resized.dtype == target.dtype
    valid = task.valid_mask(to_tensor(resized))[0].numpy()
    assert 0.5 < valid.mean() < 1
    wanted = task.rescale_values(np.full_like(resized[valid], pixel), factor)
    np.testing.assert_allclose(resized[valid], wanted, rtol=1e-5)
    hole = task.valid_mask(to_tensor(task.mask_values(target)))[0].numpy().mean()
    assert abs(valid.mean() - hole) < 0.12


@pytest.mark.parametrize(('zoom', 'wanted'), [('keep', 6), ('multiply', 12), ('divide', 3)])
def test_lengths_in_pixels_grow_with_the_image(zoom, wanted):
    task = TASKS.build(dict(type='DenseRegression', name='disparity', zoom=zoom))
    target = np.full((4, 4), 6, np.float32)
    target[0] = 255
    results = dict(img=np.zeros((4, 4, 3), np.uint8), tasks=TaskSet(dict(t=task)), targets=dict(t=target))
    assert np.unique(resize_sample(results, (8, 8), 2.0)['targets']['t']).tolist() == [wanted, 255]
    with pytest.raises(ValueError, match="zoom is 'keep', 'multiply' or 'divide'"):
        TASKS.build(dict(type='DenseRegression', name='disparity', zoom='shrink'))


def test_class_ids_of_odd_sizes_are_those_of_the_nearest_pixel():
    """Ids 0 and 20 in turn: a mean of two would be another class."""
    data = sample(11, 15)
    data['targets']['semseg'] = (np.indices((11, 15)).sum(axis=0) % 2 * 20).astype(np.uint8)
    before = data['targets']['semseg'].copy()
    after = resize_sample(data, (7, 20), 1.0)['targets']['semseg']
    assert_array_equal(after, before[np.arange(7) * 11 // 7][:, np.arange(20) * 15 // 20])


def test_a_label_that_asks_for_it_and_the_image_are_resized_bilinearly():
    tasks = TaskSet(dict(heat=dict(type='DenseRegression', interpolation='bilinear')))
    ramp = np.array([[0, 1], [0, 1]], np.float32)
    image = np.repeat(ramp[..., None] * 200, 3, axis=2).astype(np.uint8)
    out = MultiTaskResize((2, 4), keep_ratio=False)(dict(img=image, tasks=tasks, targets=dict(heat=ramp)))
    assert_allclose(out['targets']['heat'][0], [0, 0.25, 0.75, 1], atol=1e-6)
    assert out['img'][0, :, 0].tolist() == [0, 50, 150, 200]


def test_depth_of_uneven_factors():
    """Four times as wide and as high as before: the scene is twice as close."""
    data = sample(4, 5)
    data['targets']['depth'][:] = 6
    assert np.unique(MultiTaskResize((4, 20), keep_ratio=False)(data)['targets']['depth']).tolist() == [3]


def test_where_predictions_are_scored():
    """At the network's size, at that of the file, or brought back by the factor that was recorded."""
    here = MultiTaskResize((20, 30), scored_here=True)(sample())
    assert (here['ori_shape'], 'scale_factor' in here) == ((20, 30), False)
    back = MultiTaskResize((20, 30))(dict(sample(), ori_shape=(10, 15)))
    assert (back['ori_shape'], back['scale_factor']) == ((10, 15), (2, 2))
    before = MultiTaskResize((20, 30), rescale_values=False)(dict(sample(), scale_factor=(3.0, 3.0)))
    assert before['scale_factor'] == (3, 3)
    assert_array_equal(before['targets']['depth'][::2, ::2], sample()['targets']['depth'])
    whole = MultiTaskResize((20, 30), eval_at='original')(sample())
    assert_array_equal(whole['targets']['depth'], sample()['targets']['depth'])
    for options in (dict(scored_here=True, eval_at='original'), dict(eval_at='file')):
        with pytest.raises(ValueError, match="eval_at is 'input' or 'original'"):
            MultiTaskResize((4, 4), **options)
    assert MultiTaskResize((4, 4), scored_here=True, eval_at='input').eval_at == 'input'
    with pytest.raises(ValueError, match="is one of .'bilinear', 'lanczos', 'cubic'., but got 'nearest'"):
        MultiTaskResize((4, 4), image_interpolation='nearest')


def test_other_interpolations_of_the_image():
    image = sample()['img']
    lanczos = MultiTaskResize((5, 8), keep_ratio=False, image_interpolation='lanczos')(sample())['img']
    assert_array_equal(lanczos, np.asarray(Image.fromarray(image).resize((8, 5), Image.LANCZOS)))
    assert np.abs(lanczos.astype(int) - MultiTaskResize((5, 8), keep_ratio=False)(sample())['img']).max() > 9
    cubic = dict(keep_ratio=False, image_interpolation='cubic')
    fractions = MultiTaskResize((20, 30), image_dtype='float32', **cubic)(sample())['img']
    assert fractions.dtype == np.float32
    assert (fractions.min(), fractions.max()) < (0, 256)  # splines overshoot
    pixels = MultiTaskResize((20, 30), **cubic)(sample())['img']
    assert_array_equal(pixels, np.clip(fractions, 0, 255).astype(np.uint8))
    assert to_pixels(np.array([-30, 255.9, 300, 7.9])).tolist() == [0, 255, 255, 7]


def test_sizes_are_rounded_and_never_nothing():
    assert MultiTaskResize((7, 100))(sample())['img'].shape == (7, 10, 3)  # 10.5 to the even one
    assert MultiTaskResize((1, 1))(sample())['img'].shape == (1, 1, 3)
    results = MultiTaskResize((20, 60), keep_ratio=False)(dict(sample(), intrinsics=(3.0, 4.0, 5.0, 6.0)))
    assert results['intrinsics'] == (12, 8, 20, 12)
    assert results['img_shape'] == (20, 60)
    with pytest.raises(ValueError, match='ratio_range needs 0 < low <= high'):
        MultiTaskRandomScale((0, 1))


def test_half_of_the_weight_is_a_label():
    """Of four pixels one row is labelled: between both rows it is half."""
    task = TASKS.build(dict(type='DenseRegression', name='t', interpolation='bilinear', ignore_value=-1))
    results = dict(img=np.zeros((2, 2, 3), np.uint8), tasks=TaskSet(dict(t=task)))
    results['targets'] = dict(t=np.array([[8, 8], [-1, -1]], np.float32))
    assert resize_sample(results, (1, 2), 1.0)['targets']['t'].tolist() == [[8, 8]]
    below = np.array([[8, 8], [-1, -1], [-1, -1]], np.float32)
    results.update(img=np.zeros((3, 2, 3), np.uint8), targets=dict(t=below))
    assert resize_sample(results, (1, 2), 1.0)['targets']['t'].tolist() == [[-1, -1]]
