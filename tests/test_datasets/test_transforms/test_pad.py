import numpy as np
import pytest
from numpy.testing import assert_array_equal

from mlore_mm.datasets.transforms import CentrePad
from mlore_mm.tasks import TaskSet

TASKS = dict(
    semseg=dict(type='SemSeg'),
    depth=dict(type='Depth'),
    normals=dict(type='SurfaceNormals'),
    vector=dict(type='DenseRegression', out_channels=6),
)


def sample(height=5, width=6):
    tasks = TaskSet(TASKS)
    targets = {name: np.ones_like(task.empty_target(height, width)) for name, task in tasks.items()}
    return dict(img=np.ones((height, width, 3), dtype=np.uint8), tasks=tasks, targets=targets)


def test_the_odd_pixel_goes_right_and_below():
    results = CentrePad((8, 11))(sample())
    assert results['padding'] == (2, 3, 1, 2)
    assert results['img_shape'] == (8, 11)
    assert_array_equal(results['img'][1:6, 2:8], 1)
    assert results['img'].sum() == 5 * 6 * 3
    for name, value in dict(semseg=255, depth=0, normals=0, vector=255).items():
        target = results['targets'][name]
        assert target.shape[:2] == (8, 11)
        assert_array_equal(target[1:6, 2:8], 1)
        outside = np.ones((8, 11), dtype=bool)
        outside[1:6, 2:8] = False
        assert_array_equal(target[outside], value)


def test_larger_images_stay_and_multiples_are_met():
    assert CentrePad((4, 4))(sample())['img'].shape == (5, 6, 3)
    assert CentrePad(divisor=4)(sample())['padding'] == (1, 1, 1, 2)
    results = CentrePad((7, 7), divisor=4)(sample())
    assert results['img'].shape == (8, 8, 3)
    assert CentrePad(divisor=4)(results)['padding'] == results['padding']


def test_padding_adds_up():
    results = CentrePad((10, 10))(CentrePad((7, 8))(sample()))
    assert results['padding'] == (2, 2, 2, 3)


def test_labels_loaded_later_keep_their_size():
    results = sample()
    del results['targets']
    assert CentrePad((8, 8))(results)['img'].shape == (8, 8, 3)


def test_something_has_to_be_asked_for():
    with pytest.raises(ValueError, match='CentrePad needs `size`, or `divisor` above 1'):
        CentrePad()


@pytest.mark.parametrize('options', [dict(size=(0, 4)), dict(size=(4, 4), divisor=0), dict(divisor=1), dict(divisor=0)])
def test_sizes_that_are_none(options):
    with pytest.raises(ValueError, match='CentrePad needs'):
        CentrePad(**options)


def test_the_camera_is_moved_and_an_image_of_many_channels_padded():
    results = dict(sample(), intrinsics=(9.0, 8.0, 3.0, 2.0))
    results['img'] = np.ones((5, 6, 7), dtype=np.uint8)
    padded = CentrePad((8, 11))(results)
    assert padded['intrinsics'] == (9, 8, 5, 3)
    assert padded['img'].shape == (8, 11, 7)
    assert padded['img'].sum() == 5 * 6 * 7
    same = CentrePad((5, 6))(dict(sample(), intrinsics=(9.0, 8.0, 3.0, 2.0)))
    assert (same['padding'], same['img_shape'], same['intrinsics']) == ((0,) * 4, (5, 6), (9, 8, 3, 2))
