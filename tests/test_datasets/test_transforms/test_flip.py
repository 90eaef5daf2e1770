import numpy as np
import pytest
from numpy.testing import assert_array_equal

from mlore_mm.datasets.transforms import MultiTaskRandomFlip
from mlore_mm.tasks import TaskSet


def sample():
    tasks = TaskSet(dict(normals=dict(type='SurfaceNormals'), edge=dict(type='Edge')))
    normals = np.array([[[0.6, 0, 0.8], [255, 255, 255], [0, 0, 0]]], dtype=np.float32)
    targets = dict(normals=normals, edge=np.array([[1, 0, 255]], dtype=np.uint8))
    return dict(img=np.arange(9, dtype=np.uint8).reshape(1, 3, 3), tasks=tasks, targets=targets)


def test_pixels_are_mirrored_and_x_changes_sign():
    results = MultiTaskRandomFlip(1)(sample())
    assert (results['flip'], results['flip_direction']) == (True, 'horizontal')
    assert_array_equal(results['img'], sample()['img'][:, ::-1])
    assert_array_equal(results['targets']['edge'], [[255, 0, 1]])
    expected = np.array([[[0, 0, 0], [255, 255, 255], [-0.6, 0, 0.8]]], dtype=np.float32)
    assert_array_equal(results['targets']['normals'], expected)


def test_without_a_flip_nothing_changes():
    results = MultiTaskRandomFlip(0)(sample())
    assert (results['flip'], results['flip_direction']) == (False, None)
    assert_array_equal(results['targets']['normals'], sample()['targets']['normals'])


def test_half_of_the_samples_are_mirrored():
    flip = MultiTaskRandomFlip(0.5)
    assert 150 < sum(flip.draw() for _ in range(400)) < 250


def test_bad_probability():
    with pytest.raises(ValueError, match=r'prob has to be in 0..1, but is 50'):
        MultiTaskRandomFlip(50)


@pytest.mark.parametrize('prob', [-0.1, 1.01])
def test_probabilities_end_at_one(prob):
    with pytest.raises(ValueError, match='prob has to be in 0..1'):
        MultiTaskRandomFlip(prob)


def test_the_camera_is_mirrored_with_its_image():
    results = MultiTaskRandomFlip(1)(dict(sample(), intrinsics=(9.0, 8.0, 0.5, 1.0)))
    assert results['intrinsics'] == (9, 8, 1.5, 1)  # of the pixels 0 to 2
    assert MultiTaskRandomFlip(0)(dict(sample(), intrinsics=(9.0, 8.0, 0.5, 1.0)))['intrinsics'] == (9, 8, 0.5, 1)
