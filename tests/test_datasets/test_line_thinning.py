import numpy as np
import pytest
from numpy.testing import assert_array_equal

from mlore_mm.datasets.line_thinning import thin
from mlore_mm.evaluation.functional.boundary import thin as thin_of_metric


def test_a_bar_becomes_a_line():
    bar = np.zeros((7, 12), dtype=bool)
    bar[2:5, 1:11] = True
    thinned = thin(bar)
    assert thinned.sum(axis=0).max() == 1
    assert thinned[3].sum() >= 8
    assert not (thinned > bar).any()


def test_a_line_stays():
    line = np.eye(9, dtype=np.uint8)
    assert_array_equal(thin(line), line)


def test_equals_scikit_image():
    morphology = pytest.importorskip('skimage.morphology')
    rng = np.random.default_rng(0)
    for density in (0.2, 0.5, 0.8, 0.95):
        mask = rng.random((50, 40)) < density
        blobs = np.repeat(np.repeat(mask[:20, :20], 4, axis=0), 3, axis=1)
        for image in (mask, blobs, np.ones((9, 14)), np.zeros((3, 3)), np.ones((1, 1)), np.ones((1, 6))):
            assert_array_equal(thin(image), morphology.thin(image))


def test_the_labels_and_the_metric_thin_alike():
    rng = np.random.default_rng(1)
    for density in (0.3, 0.6, 0.9):
        mask = (rng.random((16, 18)) < density).repeat(2, axis=0).repeat(3, axis=1).astype(np.uint8) * 7
        assert_array_equal(thin(mask), thin_of_metric(mask))
        noise = rng.random((30, 31)) < density
        assert_array_equal(thin(noise), thin_of_metric(noise))
