"""Images of more than three channels, from the file to the prediction."""

import numpy as np
import pytest
import torch
from PIL import Image

from mlore_mm.apis import MultiTaskInferencer
from mlore_mm.datasets import transforms
from mlore_mm.datasets.channel_images import first_three, picture_of, read_channels
from mlore_mm.models import MultiTaskDataPreprocessor
from mlore_mm.tasks import TaskSet
from tests.tiny import write_tiny

IMAGE = np.random.default_rng(0).integers(0, 256, (32, 48, 6), dtype=np.uint8)  # red, green, blue, and three more


def write(path, image):
    if path.suffix == '.npy':
        np.save(path, image)
    elif path.suffix == '.png':
        Image.fromarray(image).save(path)
    else:
        tifffile = pytest.importorskip('tifffile', reason='TIFF files of many channels need tifffile')
        planar = path.stem == 'planar'
        tifffile.imwrite(path, image.transpose(2, 0, 1) if planar else image, photometric='minisblack')
    return str(path)


@pytest.mark.parametrize('dtype', [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize('channels', [1, 3, 4, 6])
@pytest.mark.parametrize('name', ['a.npy', 'a.tif', 'planar.tif'])
def test_every_channel_comes_in_order(tmp_path, name, channels, dtype):
    image = (IMAGE[..., :channels] * (1 if dtype == np.uint8 else 3.25)).astype(dtype)
    read = read_channels(write(tmp_path / name, image), channels)
    assert read.dtype == (np.uint8 if dtype == np.uint8 else np.float32)
    order = [2, 1, 0, *range(3, channels)] if channels >= 3 else [0]
    np.testing.assert_array_equal(read, image[..., order].astype(read.dtype))


def test_a_png_with_a_fourth_channel(tmp_path):
    read = read_channels(write(tmp_path / 'a.png', IMAGE[..., :4]), 4)
    np.testing.assert_array_equal(read, IMAGE[..., [2, 1, 0, 3]])


@pytest.mark.parametrize(('name', 'found'), [('a.npy', 6), ('a.tif', 6), ('a.png', 3)])
def test_another_number_of_channels_is_named(tmp_path, name, found):
    path = write(tmp_path / name, IMAGE[..., :found])
    with pytest.raises(ValueError, match=rf'a\.\w+ holds uint8 numbers of the shape \(32, 48, {found}\).*is 4'):
        transforms.LoadMultiTaskImage(channels=4)(dict(img_path=path))


def test_an_array_of_four_is_noticed_by_the_default_reader(tmp_path):
    with pytest.raises(ValueError, match=r'`channels` of LoadMultiTaskImage is 3'):
        transforms.LoadMultiTaskImage()(dict(img_path=write(tmp_path / 'a.npy', IMAGE[..., :4])))


def test_numbers_that_are_not_finite_are_refused(tmp_path):
    image = IMAGE.astype(np.float32)
    image[3, 4, 5] = np.nan
    with pytest.raises(ValueError, match='a.npy holds NaN'):
        read_channels(write(tmp_path / 'a.npy', image), 6)


@pytest.mark.parametrize('dtype', [np.uint8, np.float32])
def test_the_whole_pipeline_keeps_channels_apart(tmp_path, dtype):
    """Flat channels stay flat and what they were, but for colours, which the distortion changes."""
    levels = np.array([10, 20, 30, 40, 50, 60])
    path = write(tmp_path / 'a.npy', np.full((32, 48, 6), levels, dtype))
    results = dict(img_path=path, tasks=TaskSet(dict(depth=dict(type='Depth'))), targets={})
    steps = [
        transforms.LoadMultiTaskImage(channels=6),
        transforms.MultiTaskRandomScale((1.5, 1.5)),
        transforms.MultiTaskRandomFlip(prob=1.0),
        transforms.CentrePad(size=(64, 96)),
        transforms.PackMultiTaskInputs(),
    ]
    if dtype == np.uint8:
        steps.insert(3, transforms.PhotoMetricDistortion())
    for step in steps:
        results = step(results)
    inputs = results['inputs']
    assert inputs.shape == (6, 64, 96)
    left, right, top, bottom = results['data_samples'].padding
    inside = inputs[:, top : 64 - bottom, left : 96 - right].float()
    assert inside[3:].unique().tolist() == [40, 50, 60]
    prepare = MultiTaskDataPreprocessor(mean=[0.0] * 6, std=[1.0] * 6)
    batch = prepare(dict(inputs=[inputs], data_samples=[results['data_samples']]))['inputs']
    assert batch[0, 3:, 32, 48].tolist() == [40, 50, 60]
    if dtype != np.uint8:
        assert batch[0, :3, 32, 48].tolist() == [10, 20, 30]


def test_mean_and_std_of_another_number_are_named():
    prepare = MultiTaskDataPreprocessor(mean=[1, 2, 3, 4], std=[1, 1, 1, 1])
    with pytest.raises(ValueError, match='has 3 channels, but mean and std of the data preprocessor have 4'):
        prepare(dict(inputs=[torch.zeros(3, 4, 4, dtype=torch.uint8)]))
    with pytest.raises(ValueError, match='one number per channel'):
        MultiTaskDataPreprocessor(mean=[1, 2, 3, 4], std=[1, 1, 1])


def test_pictures_show_the_first_three(tmp_path):
    path = write(tmp_path / 'a.npy', IMAGE)
    np.testing.assert_array_equal(picture_of(path), IMAGE[..., 2::-1])
    numbers = picture_of(write(tmp_path / 'b.npy', IMAGE.astype(np.float32) * 100))
    assert numbers.dtype == np.uint8
    assert np.corrcoef(numbers.ravel(), IMAGE[..., 2::-1].ravel())[0, 1] > 0.99
    assert first_three(IMAGE[..., :1]).shape == (32, 48, 3)


MORE = """
model['backbone'].update(in_channels=6)
model['data_preprocessor'] = dict(mean=[100] * 6, std=[50] * 6)
"""


def test_the_inferencer_takes_them(tmp_path):
    infer = MultiTaskInferencer(*write_tiny(tmp_path, more=MORE), device='cpu', show_progress=False)
    large = np.tile(IMAGE, (4, 4, 1))  # reduced on the way in
    result = infer(write(tmp_path / 'a.npy', large))[0]
    assert result['depth'].metres.shape == (128, 192)
    np.testing.assert_array_equal(result.image, large[..., :3])
    np.testing.assert_allclose(
        result['depth'].metres, infer(np.ascontiguousarray(large[..., [2, 1, 0, 3, 4, 5]]))[0]['depth'].metres
    )
    with pytest.raises(ValueError, match=r'shape \(32, 48, 3\), expected \(H, W, 6\)'):
        infer(IMAGE[..., :3])


@pytest.mark.parametrize(
    'image',
    [
        np.zeros((2, 3, 4, 4)),
        np.zeros((5, 6, 4), bool),
        np.zeros((5, 6, 4), 'c8'),
        np.zeros((5, 6)),
        np.zeros(4),
    ],
    ids=['four axes', 'yes and no', 'complex', 'one channel', 'one axis'],
)
def test_each_reason_alone_is_enough_to_refuse(tmp_path, image):
    with pytest.raises(ValueError, match=rf'a.npy (holds|cannot).*{image.dtype}'):
        read_channels(write(tmp_path / 'a.npy', image), 4)


def test_numbers_are_stretched_from_the_first_to_the_last_percent():
    ramp = np.arange(101.0)[:, None, None]
    shown = first_three(ramp)
    assert shown.shape == (101, 1, 3)
    assert shown[[0, 1, 50, 99, 100], 0, 0].tolist() == [0, 0, 127, 255, 255]
    assert first_three(np.full((2, 2, 1), 3.0)).max() == 0
    assert first_three(IMAGE[..., :2])[..., 2].tolist() == IMAGE[..., 0].tolist()
    four = np.dstack([IMAGE[..., :3], IMAGE[..., 3]])
    np.testing.assert_array_equal(first_three(four), IMAGE[..., :3])


def test_arrays_with_channels_first_grey_ones_and_photos(tmp_path):
    np.testing.assert_array_equal(picture_of(write(tmp_path / 'a.npy', IMAGE.transpose(2, 0, 1))), IMAGE[..., 2::-1])
    grey = picture_of(write(tmp_path / 'b.npy', IMAGE[..., 0]))
    np.testing.assert_array_equal(grey, np.repeat(IMAGE[..., :1], 3, axis=2))
    np.testing.assert_array_equal(picture_of(write(tmp_path / 'c.png', IMAGE[..., :3])), IMAGE[..., 2::-1])
    two = read_channels(write(tmp_path / 'd.npy', IMAGE[..., :2]), 2)
    np.testing.assert_array_equal(two, IMAGE[..., :2])
    with pytest.raises(ValueError, match='e.npy holds NaN or infinite numbers'):
        read_channels(write(tmp_path / 'e.npy', np.full((2, 3, 4), np.inf, np.float32)), 4)
