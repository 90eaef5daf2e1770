"""Several processes against one with the same total batch: losses, gradients, and statistics of the batch norms."""

import pytest
import torch
import torch.distributed as dist
from mmengine.model import MMDistributedDataParallel
from torch.testing import assert_close

from mlore_mm.models.ops import PortableSyncBatchNorm
from tests.distributed import run_in_processes
from tests.mlore_models import build_mlore, make_samples

TASKS = ('semseg', 'normals', 'edge', 'depth')
BATCH = 6


def train_step(model, first: int, count: int):
    """Losses, gradients and buffers for a part of the batch; one image has no labels, and one none for depth."""
    module = getattr(model, 'module', model)
    images = torch.randn(BATCH, 3, 32, 48, generator=torch.Generator().manual_seed(0))
    samples = make_samples(module, images)
    for task in TASKS:
        samples[0].gt.get(task).fill_(module.tasks[task].ignore_value)
    samples[5].gt.get('depth').fill_(0)
    images, samples = images[first : first + count], samples[first : first + count]
    losses = model(images, samples, mode='loss')
    sum(losses.values()).backward()
    return (
        {name: loss.item() for name, loss in losses.items()},
        {name: p.grad for name, p in module.named_parameters()},
        {name: x for name, x in module.named_buffers() if 'running' in name},
    )


def build():
    model = build_mlore(tasks=TASKS, gate=dict(noise='none')).train()
    model.criterion.average = 'batch'
    return model


def in_a_process():
    model = MMDistributedDataParallel(PortableSyncBatchNorm.convert(build()), broadcast_buffers=False)
    count = BATCH // dist.get_world_size()
    return train_step(model, dist.get_rank() * count, count)


@pytest.mark.parametrize('processes', [2, 3])
def test_the_number_of_processes_does_not_matter(tmp_path, processes):
    losses, gradients, statistics = train_step(build(), 0, BATCH)
    parts = run_in_processes(in_a_process, tmp_path, world_size=processes)
    for name, loss in losses.items():
        mean = sum(part[0][name] for part in parts) / processes
        assert mean == pytest.approx(loss, rel=1e-5), name
    scale = max(float(g.abs().max()) for g in gradients.values())
    for part in parts:
        for name, gradient in gradients.items():
            assert_close(part[1][name], gradient, rtol=1e-5, atol=1e-5 * scale, msg=lambda m, n=name: f'{n}: {m}')
        assert_close(part[2], statistics, rtol=1e-5, atol=1e-6)


def without_labels():
    """One process has no valid pixel for any task; everything as published: plain norms, means per process."""
    model = MMDistributedDataParallel(build_mlore(tasks=TASKS), broadcast_buffers=False)
    losses, gradients, _ = train_step(model.train(), dist.get_rank(), 1)
    return (
        losses,
        all(torch.isfinite(g).all() for g in gradients.values()),
        sum(float(g.sum()) for g in gradients.values()),
    )


def test_a_process_without_labels_neither_hangs_nor_spoils_the_others(tmp_path):
    first, second = run_in_processes(without_labels, tmp_path)
    assert [first[0][f'loss_{task}'] for task in TASKS] == [0, 0, 0, 0]
    assert all(second[0][f'loss_{task}'] > 0 for task in TASKS)
    assert (first[1], second[1]) == (True, True)
    assert first[2] == second[2] != 0
