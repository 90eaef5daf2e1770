"""Inference in windows."""

import pytest
import torch
from torch.testing import assert_close

from mlore_mm.models.sliding_windows import slide_inference, windows
from tests.test_models.test_multi_task_encoder_decoder import build


def test_windows_by_hand():
    """A length of 10 in windows of 4, every 3: 0, 3, 6; of 7: 0, 3; smaller than a window: one."""
    starts = [(rows.start, columns.start) for rows, columns in windows((10, 7), (4, 4), (3, 3))]
    assert starts == [(0, 0), (0, 3), (3, 0), (3, 3), (6, 0), (6, 3)]
    assert list(windows((3, 8), (4, 4), (4, 4))) == [(slice(0, 4), slice(0, 4)), (slice(0, 4), slice(4, 8))]
    assert [columns.start for _, columns in windows((4, 9), (4, 4), (4, 4))] == [0, 4, 5]


def test_windows_are_averaged_where_they_overlap():
    """Windows of 4 columns that answer with their number: 0, then 1; two columns belong to both."""
    numbers = iter(range(9))
    found = slide_inference(
        lambda x: dict(a=torch.full_like(x, next(numbers))), torch.zeros(1, 1, 1, 6), (1, 4), (1, 2)
    )
    assert found['a'].flatten().tolist() == [0, 0, 0.5, 0.5, 1, 1]


def test_sliding_windows_cover_the_image():
    """Windows that see the whole image each, or a pointwise model, give the result of one pass."""
    model = build(test_cfg=dict(mode='slide', crop_size=(8, 12), stride=(4, 8))).eval()
    images = torch.randn(2, 3, 16, 28)
    pointwise = lambda x, tasks, groups=(): dict.fromkeys(tasks, x[:, :1])  # noqa: E731
    model.encode_decode = pointwise
    assert_close(model.inference(images, ['depth'])['depth'], images[:, :1])
    sizes = []
    model.encode_decode = lambda x, tasks, groups=(): sizes.append(len(x)) or pointwise(x, tasks)
    model.test_cfg['windows_at_once'] = 4
    assert_close(model.inference(images, ['depth'])['depth'], images[:, :1])
    assert sizes == [8, 8, 2], '9 windows of 2 images'
    model.test_cfg['stride'] = (9, 8)
    with pytest.raises(ValueError, match='0 < stride <= crop_size'):
        model.inference(images, ['depth'])


def test_one_window_at_a_time_on_a_cpu():
    model, sizes = build(test_cfg=dict(mode='slide', crop_size=(8, 12), stride=(8, 12))).eval(), []
    model.encode_decode = lambda x, tasks, groups=(): sizes.append(len(x)) or dict.fromkeys(tasks, x[:, :1])
    model.inference(torch.randn(2, 3, 16, 24), ['depth'])
    assert sizes == [2] * 4


@pytest.mark.parametrize(
    ('crop', 'stride'), [(None, (4, 4)), ((4, 4), None), ((4,), (4, 4)), ('44', (4, 4)), (8, 4)], ids=str
)
def test_windows_that_are_no_pair(crop, stride):
    with pytest.raises(ValueError, match=r'needs crop_size=\(h, w\) and stride=\(h, w\)'):
        build(test_cfg=dict(mode='slide', crop_size=crop, stride=stride))


@pytest.mark.parametrize('stride', [(0, 4), (4, 5)])
def test_windows_that_leave_gaps(stride):
    with pytest.raises(ValueError, match='0 < stride <= crop_size'):
        build(test_cfg=dict(mode='slide', crop_size=(4, 4), stride=stride))
