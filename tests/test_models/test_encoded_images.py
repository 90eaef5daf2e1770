import pytest
import torch
from torch.testing import assert_close

from mlore_mm.models.data_preprocessor import MultiTaskDataPreprocessor
from mlore_mm.models.encoded_images import EncodedImages
from mlore_mm.structures import MultiTaskDataSample


def batch(sizes=((8, 12), (8, 12)), channels=(2, 3)):
    levels = [[torch.full((c, 2, 3), float(i)).half() for i in range(len(sizes))] for c in channels]
    images = [torch.zeros((), dtype=torch.uint8).expand(3, *size) for size in sizes]
    return dict(inputs=images, features=levels, data_samples=[MultiTaskDataSample() for _ in sizes])


def test_features_take_the_place_of_images_of_their_padded_size():
    data = MultiTaskDataPreprocessor(size_divisor=5)(batch())
    inputs = data['inputs']
    assert isinstance(inputs, EncodedImages)
    assert inputs.shape == (2, 3, 10, 15)
    assert [tuple(level.shape) for level in inputs.features.shared] == [(2, 2, 2, 3), (2, 3, 2, 3)]
    assert inputs.dtype == torch.float32
    assert data['data_samples'][0].padding == (0, 3, 0, 2)  # as of images


def test_some_images_or_all_pixels_but_no_part_of_them():
    images = MultiTaskDataPreprocessor()(batch())['inputs']
    assert_close(images[[1]].features.shared[0], torch.ones(1, 2, 2, 3))
    assert images[[1]].shape == (1, 3, 8, 12)
    assert images[..., :8, :12] is images
    with pytest.raises(ValueError, match="test_cfg.mode='slide'"):
        images[..., :4, :12]


def test_images_of_several_sizes_are_refused():
    with pytest.raises(ValueError, match='each was encoded at its own size'):
        MultiTaskDataPreprocessor()(batch(sizes=((8, 12), (8, 16))))


def test_what_stands_for_images():
    images = MultiTaskDataPreprocessor()(batch())['inputs']
    assert (len(images), images.device.type) == (2, 'cpu')
    for part in ((..., slice(None, 8), slice(None, 4)), (..., slice(None, 8)), slice(0, 1)):
        with pytest.raises(ValueError, match=r'images of \(8, 12\) was asked for'):
            images[part]
