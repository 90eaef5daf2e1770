import numpy as np
import pytest
from numpy.testing import assert_array_equal

from mlore_mm.datasets.transforms import PhotoMetricDistortion


@pytest.mark.parametrize('seed', range(24))
def test_equals_mmsegmentation_draw_by_draw(seed):
    from mmseg.datasets.transforms import PhotoMetricDistortion as Reference

    image = np.random.default_rng(seed).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    outputs = []
    for transform in (PhotoMetricDistortion(), Reference()):
        np.random.seed(seed)  # noqa: NPY002
        outputs.append(transform(dict(img=image.copy()))['img'])
        outputs.append(np.random.rand())  # noqa: NPY002  (the same numbers have been drawn)
    assert_array_equal(outputs[0], outputs[2])
    assert outputs[1] == outputs[3]


def test_without_range_only_rounding_changes():
    image = np.full((4, 4, 3), 100, dtype=np.uint8)
    still = PhotoMetricDistortion(brightness_delta=0, contrast_range=(1, 1), saturation_range=(1, 1), hue_delta=1)
    for _ in range(20):
        assert_array_equal(still(dict(img=image))['img'], image)


def test_further_channels_stay_as_they_are():
    image = np.random.default_rng(0).integers(0, 256, (6, 7, 5), dtype=np.uint8)
    np.random.seed(3)  # noqa: NPY002
    changed = PhotoMetricDistortion()(dict(img=image.copy()))['img']
    np.random.seed(3)  # noqa: NPY002
    assert_array_equal(changed[..., :3], PhotoMetricDistortion()(dict(img=image[..., :3].copy()))['img'])
    assert_array_equal(changed[..., 3:], image[..., 3:])
    assert changed.dtype == np.uint8
