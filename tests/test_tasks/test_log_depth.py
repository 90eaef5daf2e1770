import torch
from torch.testing import assert_close

from mlore_mm.tasks import LogDepth

TASK = LogDepth(name='depth', metric=dict(type='DepthMetric', max_depth=128.0))


def test_the_largest_code_becomes_one():
    assert_close(TASK.encode(torch.tensor([0.0, 65535 / 512])), torch.tensor([0.0, 1.0]))
    assert_close(TASK.encode(torch.tensor([255 / 512])), torch.tensor([0.5]))


def test_predictions_are_metres():
    metres = torch.tensor([0.01, 1.0, 20.0, 127.0], dtype=torch.float64)
    assert_close(TASK.decode(TASK.encode(metres)), metres)
    assert_close(TASK.decode(torch.tensor([-3.0])), torch.tensor([0.0]))
    assert TASK.decode(torch.tensor([float('nan')])).isnan().all()
    assert TASK.decode(torch.tensor([50.0])).isfinite().all()


def test_a_pixel_without_a_reading_does_not_count_and_metres_stay():
    target = torch.tensor([[[0.0, 1.0, 127.9]]])
    assert TASK.valid_mask(target).tolist() == [[[False, True, True]]]
    assert_close(TASK.rescale_values(target, 0.5), target)


def test_predictions_end_at_sixteen_times_the_farthest_code():
    assert_close(TASK.decode(torch.tensor([1.25, 9.0])), torch.full((2,), (2**20 - 1) / 512))
    assert TASK.encode(torch.tensor([-1.0])).item() == 0
    assert (TASK.steps, TASK.zoom_rule) == (512, False)
