"""Logits and labels of three tasks."""

import torch

TASKS = dict(
    semseg=dict(type='SemSeg', out_channels=4),
    depth=dict(type='Depth', loss_weight=3.0),
    edge=dict(type='Edge', loss_weight=50.0),
)


def make_logits(size=(8, 10)):
    channels = dict(edge=1, semseg=4, depth=1)  # not in the order of the tasks
    return {name: torch.randn(2, c, *size, requires_grad=True) for name, c in channels.items()}


def make_targets(size=(8, 10)):
    return dict(
        semseg=torch.randint(4, (2, 1, *size), dtype=torch.uint8),
        depth=1 + torch.rand(2, 1, *size),
        edge=torch.randint(2, (2, 1, *size)).float(),
    )
