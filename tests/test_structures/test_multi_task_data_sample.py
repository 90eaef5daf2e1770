import pickle

import pytest
import torch
from mmengine.structures import PixelData

from mlore_mm.structures import MultiTaskDataSample, file_name


def sample() -> MultiTaskDataSample:
    made = MultiTaskDataSample(metainfo=dict(img_path='a.jpg', padding=(1, 0, 2, 0)))
    made.gt = PixelData(depth=torch.ones(1, 2, 3))
    return made


def test_labels_and_predictions_travel_together():
    made = sample()
    made.pred = PixelData(depth=torch.zeros(1, 2, 3))
    moved = pickle.loads(pickle.dumps(made.to(torch.float64)))  # as between the loader's workers and the model
    assert moved.gt.depth.dtype == moved.pred.depth.dtype == torch.float64
    assert (moved.img_path, moved.padding) == ('a.jpg', (1, 0, 2, 0))
    assert moved.to_dict()['gt']['depth'].shape == (1, 2, 3)


def test_only_pixel_data_and_only_of_one_size():
    with pytest.raises(AssertionError, match='PixelData'):
        sample().pred = torch.zeros(1, 2, 3)
    with pytest.raises(AssertionError):
        sample().gt.semseg = torch.zeros(1, 5, 5)


def test_what_is_deleted_is_gone():
    made = sample()
    del made.gt
    assert 'gt' not in made
    with pytest.raises(AttributeError):
        _ = made.pred


@pytest.mark.parametrize('name', ['../a', 'a/../b', '/a', 'a//b', './a', 'a\\b', 'a\0'])
def test_ids_that_lead_out_of_the_folder_name_no_files(name):
    with pytest.raises(ValueError, match='is no relative path'):
        file_name(MultiTaskDataSample(metainfo=dict(sample_id=name)))


def test_files_are_called_after_the_id_or_the_image():
    assert file_name(MultiTaskDataSample(metainfo=dict(sample_id='a/b_1', img_path='x/y.jpg'))) == 'a/b_1'
    assert file_name(MultiTaskDataSample(metainfo=dict(img_path='x/y.jpg'))) == 'y'
