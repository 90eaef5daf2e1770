"""Loss and metric of a task count exactly the same pixels: those of ``valid_mask``."""

import numpy as np
import pytest
import torch
from torch import Tensor

from mlore_mm.registry import METRICS, MODELS
from mlore_mm.tasks import Depth, SemSeg, Task
from tests.test_tasks.kinds import KINDS, make, make_label, to_tensor


def label_with_everything(task: Task, seed: int) -> Tensor:
    """(1, C, H, W): sound pixels, and those of every kind that may stand between them."""
    label = make_label(task, 16, 20, seed)
    label[0, :4] = task.ignore_value
    label[1, :4] = task.pad_value
    if task.dtype == 'float32':
        label[2, :4] = 0
        label[3, :4] = 255  # sky for a depth map, no label for a map in 0..1
        label[4, :4, ...] = 79.9 if isinstance(task, Depth) else label[4, :4]
        label[5, :4, ...] = 80.1 if isinstance(task, Depth) else label[5, :4]
    else:
        label[2, :4] = 255
        label[6, 6] = 1  # a part of a person
    return to_tensor(task.mask_values(label))[None]


def counted_by_loss(task: Task, target: Tensor) -> Tensor:
    """(H, W) bool: where the loss has a gradient."""
    torch.manual_seed(1)
    logits = torch.randn(1, task.out_channels, *target.shape[-2:], requires_grad=True)
    loss = MODELS.build(task.loss)(logits, task.encode(target), task.valid_mask(target))
    loss.backward()
    return (logits.grad != 0).any(dim=1)[0]


def count_of_metric(task: Task, target: Tensor) -> int:
    metric = METRICS.build({**task.metric, 'task': task.name})
    metric.dataset_meta = dict(tasks={task.name: task.to_config()})
    prediction = task.decode(torch.randn(task.out_channels, *target.shape[-2:]))
    metric.process({}, [dict(pred={task.name: prediction}, gt={task.name: target[0]})])
    return int(metric.results[0]['count'])


@pytest.mark.parametrize('kind', KINDS)
def test_loss_and_metric_count_the_same_pixels(kind):
    task = make(kind)
    for seed in range(3):
        target = label_with_everything(task, seed)
        valid = task.valid_mask(target)[0, 0]
        assert 0 < int(valid.sum()) < valid.numel()
        assert torch.equal(counted_by_loss(task, target), valid)
        pixels = count_of_metric(task, target)
        assert pixels in (int(valid.sum()), int(valid.sum()) * task.target_channels)


def test_sky_is_in_neither():
    for far, task in ((80.0, Depth(name='d')), (10.0, Depth(name='d', metric=dict(type='DepthMetric', max_depth=10)))):
        target = torch.tensor([[[[1.0, 2.0, far, 200.0]]]])
        assert counted_by_loss(task, target).tolist() == [[True, True, False, False]]
        assert count_of_metric(task, target) == 2


def test_a_class_that_is_left_out_is_in_neither_nor_in_the_mean():
    task = SemSeg(name='s', out_channels=3, ignore_value=0)
    target = torch.tensor([[[[0, 1, 2, 255]]]], dtype=torch.uint8)
    assert counted_by_loss(task, target).tolist() == [[False, True, True, False]]
    metric = METRICS.build({**task.metric, 'task': 's'})
    metric.dataset_meta = dict(tasks=dict(s=task.to_config()))
    metric.process({}, [dict(pred=dict(s=torch.tensor([[[1, 1, 2, 2]]])), gt=dict(s=target[0]))])
    values = metric.evaluate(1)
    assert values['s/mIoU'] == values['s/aAcc'] == 100


def test_no_kind_is_left_out_of_these_tests():
    assert len(KINDS) >= 7
    assert not np.isnan([count_of_metric(make(kind), label_with_everything(make(kind), 0)) for kind in KINDS]).any()
