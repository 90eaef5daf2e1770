"""Losses of two tasks, and what a weighting makes of them."""

import torch

from mlore_mm.tasks import TaskSet

TASKS = TaskSet(dict(semseg=dict(type='SemSeg'), depth=dict(type='Depth', loss_weight=4.0)))


def losses_of(semseg, depth):
    return dict(semseg=torch.tensor(float(semseg)), depth=torch.tensor(float(depth)))


def weights_of(weighting, *losses):
    """What the gradient of the sum multiplies each loss by."""
    leaves = [torch.tensor(float(x), requires_grad=True) for x in losses]
    sum(weighting(dict(zip(TASKS, leaves, strict=True))).values()).backward()
    return torch.stack([x.grad for x in leaves])
