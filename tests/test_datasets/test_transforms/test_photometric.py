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


def test_channels_that_are_no_bytes_keep_their_numbers():
    image = np.random.default_rng(0).uniform(0, 255, (6, 7, 4)).astype(np.float32)
    image[..., 3] += 300
    changed = PhotoMetricDistortion()(dict(img=image.copy()))['img']
    assert_array_equal(changed[..., 3], image[..., 3])


@pytest.mark.parametrize(
    ('image', 'found'),
    [
        (np.full((4, 5, 3), 300, np.uint16), 'uint16 colours from 300 to 300'),
        (np.full((4, 5, 3), -0.5, np.float32), 'float32 colours from -0.5'),
        (np.full((4, 5, 3), np.nan, np.float32), 'float32 colours from nan'),
        (np.zeros((4, 5, 1), np.uint8), r'the shape \(4, 5, 1\)'),
        (np.zeros((4, 5), np.uint8), r'the shape \(4, 5\)'),
    ],
)
def test_what_has_no_colours_is_named(image, found):
    with pytest.raises(ValueError, match=f'three colours of 0 to 255, but a.png has {found}'):
        PhotoMetricDistortion()(dict(img=image, img_path='a.png'))
