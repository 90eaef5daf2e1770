"""Image and every label stay aligned: the image's colours encode the labels."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from mlore_mm.datasets.transforms import (
    CentrePad,
    MarkIgnore,
    MultiTaskRandomCrop,
    MultiTaskRandomFlip,
    MultiTaskRandomScale,
    PackMultiTaskInputs,
)
from mlore_mm.tasks import TaskSet

TASKS = TaskSet(
    dict(
        semseg=dict(type='SemSeg', out_channels=21),
        human_parts=dict(type='HumanParts'),
        sal=dict(type='Saliency'),
        normals=dict(type='SurfaceNormals'),
        edge=dict(type='Edge'),
        depth=dict(type='Depth'),
        extra=dict(type='DenseRegression', out_channels=2),
    )
)
CELL = 16


def coded_sample(rng, rows=9, columns=12):
    """Cells of one colour (b, g, r) each, and labels that follow from the colour."""
    colours = rng.integers(1, 20, (rows, columns, 3), dtype=np.uint8) * 10
    image = colours.repeat(CELL, axis=0).repeat(CELL, axis=1)
    results = dict(img=image, img_shape=image.shape[:2], ori_shape=image.shape[:2], tasks=TASKS)
    return dict(results, targets=labels_of(image))


def labels_of(image, scale=1.0, mirrored=False):
    """Labels that belong to the colours; pixels of the padding are black."""
    blue, green, red = (image[..., index].astype(np.float32) / 10 for index in range(3))
    vector = np.stack([blue - 10, green - 10, red], axis=-1)
    vector /= np.maximum(np.linalg.norm(vector, axis=-1, keepdims=True), 1e-9)
    if mirrored:
        vector[..., 0] *= -1
    return dict(
        semseg=blue.astype(np.uint8),
        human_parts=(green % 7).astype(np.uint8),
        sal=(red % 2).astype(np.uint8),
        normals=vector.astype(np.float32),
        edge=(blue % 2).astype(np.uint8),
        depth=(green + 0.5) / np.float32(scale),
        extra=np.stack([red, blue], axis=-1),
    )


@pytest.mark.parametrize('seed', range(6))
def test_labels_follow_the_image_through_the_whole_pipeline(seed):
    np.random.seed(seed)  # noqa: NPY002  (what the transforms draw from)
    results = coded_sample(np.random.default_rng(seed))
    for step in (
        MultiTaskRandomScale((0.5, 2.0)),
        MultiTaskRandomCrop((100, 120)),
        MultiTaskRandomFlip(0.5),
        CentrePad((100, 120)),
    ):
        results = step(results)
    assert results['img'].shape == (100, 120, 3)
    scale = results['scale_factor'][0]  # of the width; rounding down makes the two differ a little
    image = results['img']
    left, right, top, bottom = results['padding']
    inside = np.s_[top : 100 - bottom, left : 120 - right]
    flat = is_flat(image) & covers(inside, image.shape)
    wanted = labels_of(image, scale, results['flip'])
    assert flat.mean() > 0.2
    for name, target in results['targets'].items():
        assert_allclose(target[flat], wanted[name][flat], rtol=0.02 if name == 'depth' else 1e-5, err_msg=name)
        border = ~covers(inside, image.shape)
        assert (target[border] == TASKS[name].pad_value).all()
    assert (image[~covers(inside, image.shape)] == 0).all()


def is_flat(image):
    """Pixels within a cell, where the interpolation of the image has mixed nothing."""
    flat = np.ones(image.shape[:2], dtype=bool)
    for axis in (0, 1):
        for step in (1, 2, -1, -2):
            flat &= (image == np.roll(image, step, axis=axis)).all(axis=-1)
    return flat


def covers(window, shape):
    mask = np.zeros(shape[:2], dtype=bool)
    mask[window] = True
    return mask


def test_mirroring_twice_gives_everything_back():
    results, before = coded_sample(np.random.default_rng(0)), coded_sample(np.random.default_rng(0))
    once = MultiTaskRandomFlip(1)(results)
    assert not np.array_equal(once['img'], before['img'])
    assert_array_equal(once['targets']['normals'][..., 0], -before['targets']['normals'][:, ::-1, 0])
    twice = MultiTaskRandomFlip(1)(once)
    assert_array_equal(twice['img'], before['img'])
    for name, target in before['targets'].items():
        assert_array_equal(twice['targets'][name], target)


def test_unlabelled_targets_stay_unlabelled_through_everything():
    results = coded_sample(np.random.default_rng(0))
    height, width = results['img_shape']
    results['targets'] = {name: task.empty_target(height, width) for name, task in TASKS.items()}
    for step in (
        MultiTaskRandomScale((1.3, 1.3)),
        MultiTaskRandomCrop((100, 300)),
        MultiTaskRandomFlip(1),
        CentrePad((128, 300)),
        MarkIgnore(),
        PackMultiTaskInputs(),
    ):
        results = step(results)
    gt = results['data_samples'].gt
    for name, task in TASKS.items():
        assert not task.valid_mask(gt.get(name)).any(), name


def test_the_random_pipeline_is_a_function_of_the_seed():
    def run(seed):
        np.random.seed(seed)  # noqa: NPY002
        results = coded_sample(np.random.default_rng(0))
        for step in (MultiTaskRandomScale(), MultiTaskRandomCrop((64, 64)), MultiTaskRandomFlip()):
            results = step(results)
        return results['img']

    assert_array_equal(run(3), run(3))
    assert not np.array_equal(run(3), run(4))
