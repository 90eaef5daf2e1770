import pytest
import torch
from torch.testing import assert_close

from mlore_mm.models import MultiTaskDataPreprocessor
from mlore_mm.structures import MultiTaskDataSample

MEAN, STD = (100.0, 50.0, 10.0), (2.0, 5.0, 10.0)  # red, green, blue


def run(images, metas=None, **options):
    samples = None if metas is None else [MultiTaskDataSample(metainfo=meta) for meta in metas]
    data = dict(inputs=images, data_samples=samples)
    return MultiTaskDataPreprocessor(MEAN, STD, **options)(data)


def test_blue_green_red_bytes_become_normalised_red_green_blue():
    image = torch.tensor([20, 60, 104], dtype=torch.uint8).view(3, 1, 1).expand(3, 2, 4)
    assert_close(run([image])['inputs'][0, :, 0, 0], torch.tensor([2.0, 2.0, 1.0]))
    plain = run([image], bgr_to_rgb=False)['inputs'][0, :, 0, 0]
    assert_close(plain, torch.tensor([-40.0, 2.0, 9.4]))


def test_padded_pixels_are_zero_after_normalisation():
    image = torch.full((3, 6, 8), 200, dtype=torch.uint8)
    out = run([image], [dict(padding=(1, 2, 3, 0))])['inputs'][0]
    inside = torch.zeros(6, 8, dtype=torch.bool)
    inside[3:, 1:6] = True
    assert (out[:, ~inside] == 0).all()
    assert (out[:, inside] != 0).all()


def test_batch_of_different_sizes_is_padded_at_the_right_and_bottom():
    images = [torch.full((3, 6, 8), 200, dtype=torch.uint8), torch.full((3, 4, 10), 200, dtype=torch.uint8)]
    batch = run(images, [dict(padding=(1, 0, 0, 0)), {}], size_divisor=4)
    assert batch['inputs'].shape == (2, 3, 8, 12)
    assert [s.padding for s in batch['data_samples']] == [(1, 4, 0, 2), (0, 2, 0, 4)]
    assert all(s.batch_input_shape == (8, 12) for s in batch['data_samples'])
    assert (batch['inputs'][0, :, 6:] == 0).all()
    assert (batch['inputs'][1, :, :4, :10] != 0).all()


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(mean=(1, 2), std=(1,)), 'one number per channel'),
        (dict(mean=(), std=()), 'one number per channel'),
        (dict(std=(1, 0, 1)), 'have to be above 0'),
        (dict(size_divisor=0), 'have to be above 0'),
    ],
)
def test_numbers_that_cannot_be(options, message):
    with pytest.raises(ValueError, match=message):
        MultiTaskDataPreprocessor(**options)


def test_channels_beside_the_colours_stay_where_they_are():
    image = torch.tensor([1.0, 2, 3, 4]).view(4, 1, 1)
    four = MultiTaskDataPreprocessor((0, 0, 0, 2), (1, 1, 1, 2))
    assert four(dict(inputs=[image]))['inputs'].flatten().tolist() == [3, 2, 1, 1]
    two = MultiTaskDataPreprocessor((0, 0), (1, 1))
    assert two(dict(inputs=[image[:2]]))['inputs'].flatten().tolist() == [1, 2]
    with pytest.raises(ValueError, match='An image has 2 channels, but mean and std .* have 4'):
        four(dict(inputs=[image[:2]]))


def test_the_size_alone_is_told_and_nothing_is_padded_in_vain():
    images = [torch.full((3, 6, 8), 200, dtype=torch.uint8), torch.full((3, 4, 10), 200, dtype=torch.uint8)]
    batch = run(images, [{}, {}], size_divisor=4)
    assert [s.own_shape for s in batch['data_samples']] == [(8, 8), (4, 12)]
    assert run(images[:1])['inputs'].shape == (1, 3, 6, 8)
    assert run(images[:1])['data_samples'] is None
