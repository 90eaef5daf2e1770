"""Steps of one task at a time against joint steps: same gradients, alone and in two processes, accumulated or not."""

from types import SimpleNamespace

import pytest
import torch
import torch.distributed as dist
from mmengine.optim import OptimWrapper
from torch.testing import assert_close

from mlore_mm.models import train_steps
from mlore_mm.models.distributed import MultiTaskDistributedDataParallel
from mlore_mm.models.multi_task_encoder_decoder import MultiTaskEncoderDecoder
from tests import toy_parts  # noqa: F401  registers the toys
from tests.distributed import run_in_processes
from tests.mlore_models import make_samples

TASKS = dict(semseg=dict(type='SemSeg', out_channels=5), depth=dict(type='Depth'), edge=dict(type='Edge'))
HEADS = dict(
    per_task=dict(type='MultiTaskFCNHead', in_channels=[4], embed_dims=4),
    cross_task=dict(type='ToyCrossTaskHead'),  # with a group of auxiliary logits of all tasks
)


def build(step: str, head: str = 'per_task', **options) -> MultiTaskEncoderDecoder:
    torch.manual_seed(0)
    groups = {} if head == 'per_task' else dict(initial=0.5)
    criterion = dict(type='MultiTaskCriterion', auxiliary=groups)
    options = {'criterion': criterion, **options}
    model = MultiTaskEncoderDecoder(
        dict(type='ToyOwner'), HEADS[head], tasks=TASKS, train_cfg=dict(step=step), **options
    )
    return model.train()


def batch(model, first: int = 0, count: int = 4) -> dict:
    images = torch.randint(0, 255, (4, 3, 16, 24), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    samples = make_samples(model, images)
    return dict(inputs=list(images[first : first + count]), data_samples=samples[first : first + count])


def weights_after(model, steps: int, accumulate: int = 1, first: int = 0, count: int = 4):
    module = getattr(model, 'module', model)
    wrapper = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.01), accumulative_counts=accumulate)
    logs = [model.train_step(batch(module, first, count), wrapper) for _ in range(steps)]
    return {name: p.detach().clone() for name, p in module.named_parameters()}, logs


@pytest.mark.parametrize('head', HEADS)
@pytest.mark.parametrize('accumulate', [1, 2])
def test_gradients_and_logs_are_those_of_joint_steps(head, accumulate):
    joint, joint_logs = weights_after(build('joint', head), 4, accumulate)
    single, single_logs = weights_after(build('one_by_one', head), 4, accumulate)
    assert_close(single, joint)
    for a, b in zip(single_logs, joint_logs, strict=True):
        assert set(a) == set(b)
        assert_close(a, b)


def in_a_process(step: str, accumulate: int):
    model = MultiTaskDistributedDataParallel(build(step, 'cross_task'), broadcast_buffers=False)
    return weights_after(model, 4, accumulate, 2 * dist.get_rank(), 2)[0]


@pytest.mark.parametrize('accumulate', [1, 2])
def test_two_processes_take_the_same_steps_either_way(tmp_path, accumulate):
    for step in ('joint', 'one_by_one'):
        (tmp_path / step).mkdir()
    joint = run_in_processes(in_a_process, tmp_path / 'joint', 'joint', accumulate)
    single = run_in_processes(in_a_process, tmp_path / 'one_by_one', 'one_by_one', accumulate)
    assert_close(single[0], single[1])
    assert_close(single[0], joint[0])


@pytest.mark.parametrize(
    'part',
    [
        dict(gradient_surgery=dict(type='PCGrad')),
        dict(criterion=dict(type='MultiTaskCriterion', weighting=dict(type='DynamicWeightAverage'))),
        dict(criterion=dict(type='MultiTaskCriterion', auxiliary_losses=dict(b=dict(type='LoadBalanceLoss')))),
    ],
)
def test_what_needs_all_tasks_at_once_is_named(part):
    kinds = 'PCGrad|DynamicWeightAverage|LoadBalanceLoss'
    with pytest.raises(ValueError, match=f"'one_by_one'.*({kinds}) looks at all tasks"):
        build('one_by_one', **part)


def test_an_unknown_step_is_named():
    with pytest.raises(ValueError, match="'joint', 'one_by_one'.*'single'"):
        build('single')


def test_losses_are_scaled_alike_for_every_task():
    """The scaler of mixed precision, and the share of an accumulated step; the last one goes through the wrapper."""
    x, backwards = torch.ones(1, requires_grad=True), []
    wrapper = SimpleNamespace(
        scale_loss=lambda loss: loss / 2,
        loss_scaler=SimpleNamespace(scale=lambda loss: 8 * loss),
        backward=backwards.append,
    )
    train_steps._backward(wrapper, 3 * x.sum(), last=False)
    assert x.grad.item() == 12
    train_steps._backward(wrapper, 3 * x.sum(), last=True)
    assert (x.grad.item(), backwards[0].item()) == (12, 1.5)
    del wrapper.loss_scaler
    train_steps._backward(wrapper, 3 * x.sum(), last=False)
    assert x.grad.item() == 13.5


def test_joint_steps_are_the_default():
    assert train_steps.check_step({}, torch.nn.Identity(), None) == 'joint'
