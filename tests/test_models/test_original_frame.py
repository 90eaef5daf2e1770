import pytest
import torch
from torch.testing import assert_close

from mlore_mm.models.original_frame import resize_maps, to_original
from mlore_mm.structures import MultiTaskDataSample
from mlore_mm.tasks import Depth, SemSeg, SurfaceNormals


def sample(**meta) -> MultiTaskDataSample:
    return MultiTaskDataSample(metainfo=meta)


def test_padding_that_only_the_batch_added_is_not_cut_twice():
    logits = torch.arange(24.0).reshape(1, 4, 6) + 1
    of_image = sample(padding=(1, 3, 1, 2), ori_shape=(2, 4))  # left, right, top, bottom, as padded in its batch
    found = to_original(Depth(name='depth'), logits, of_image, 'decode', added=(1, 2))
    assert_close(found, logits[:, 1:3, 1:5])


def test_a_mirrored_image_is_mirrored_back_with_its_values():
    normals = torch.tensor([[[0.6, 0.0]], [[0.0, 0.6]], [[0.8, 0.8]]])
    found = to_original(SurfaceNormals(name='normals'), normals, sample(flip=True), 'decode')
    assert_close(found, torch.tensor([[[-0.0, -0.6]], [[0.6, 0.0]], [[0.8, 0.8]]]))
    with pytest.raises(ValueError, match="Only horizontal flips can be undone, but got 'vertical'"):
        to_original(Depth(name='depth'), torch.ones(1, 2, 2), sample(flip=True, flip_direction='vertical'), 'decode')


def test_metres_follow_the_zoom():
    zoomed = sample(scale_factor=(2.0, 2.0), ori_shape=(2, 2))  # twice as large, so half as far
    assert_close(
        to_original(Depth(name='depth'), torch.full((1, 4, 4), 3.0), zoomed, 'decode'), torch.full((1, 2, 2), 6.0)
    )


def test_predictions_may_be_resized_in_place_of_logits():
    task, small = SemSeg(name='semseg', out_channels=3), sample(ori_shape=(1, 4))
    logits = torch.tensor([[[9.0, 0.0]], [[0.0, 0.0]], [[0.0, 1.0]]])
    early, late = (to_original(task, logits, small, 'decode', late=x) for x in (False, True))
    assert early.flatten().tolist() == [0, 0, 0, 2]  # 9 outweighs 1 three quarters of the way
    assert late.flatten().tolist() == [0, 0, 2, 2]


def test_ids_come_from_the_nearest_pixel():
    ids = torch.tensor([[[[3, 5]]]])
    assert resize_maps(ids, (1, 4)).flatten().tolist() == [3, 3, 5, 5]
    assert resize_maps(ids.float(), (1, 4)).flatten().tolist() == [3, 3.5, 4.5, 5]
    assert resize_maps(ids, (1, 2)) is ids


def test_images_that_nothing_was_done_to():
    logits = torch.arange(6.0).reshape(1, 2, 3) + 1
    assert_close(to_original(Depth(name='depth'), logits, sample(), 'decode'), logits)
    assert_close(to_original(Depth(name='depth'), logits, sample(padding=(0, 1, 1, 0)), 'activate'), logits[:, 1:, :2])


def test_late_resizing_is_for_decoded_maps_only():
    task, small = SemSeg(name='semseg', out_channels=3), sample(ori_shape=(1, 4))
    logits = torch.tensor([[[9.0, 0.0]], [[0.0, 0.0]], [[0.0, 1.0]]])
    scores = [to_original(task, logits, small, 'activate', late=late) for late in (False, True)]
    assert torch.equal(*scores)
    assert scores[0].shape == (3, 1, 4)
