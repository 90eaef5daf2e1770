import pytest
import torch
from torch.testing import assert_close

from mlore_mm.models.layers.task_modules import TaskConv1x1, TaskModules, drop_names

TASKS = ('semseg', 'depth', 'edge')


@pytest.mark.parametrize('tasks', [TASKS, ('edge', 'semseg'), ('depth',)])
@pytest.mark.parametrize('shared', [True, False])
def test_one_product_gives_what_each_convolution_gives(tasks, shared):
    convs = TaskConv1x1(TASKS, 4, 6)
    x = torch.randn(1 if shared else len(tasks), 2, 4, 3, 5, requires_grad=True)
    together = convs(x, tasks)
    alone = torch.stack([convs[task](x[0 if shared else i]) for i, task in enumerate(tasks)])
    assert_close(together, alone)
    weight = torch.randn_like(together)
    parameters = [x, *(convs[task].weight for task in tasks), *(convs[task].bias for task in tasks)]
    assert_close(
        torch.autograd.grad((together * weight).sum(), parameters),
        torch.autograd.grad((alone * weight).sum(), parameters),
    )


def test_weights_are_stored_under_the_names_of_the_tasks():
    convs = TaskConv1x1(TASKS, 4, 6)
    assert list(convs.state_dict()) == [f'{task}.{part}' for task in TASKS for part in ('weight', 'bias')]
    assert convs.stack(('edge', 'depth'), 'bias').equal(torch.stack([convs['edge'].bias, convs['depth'].bias]))
    assert convs.half().dtype == torch.float16


def test_each_task_has_its_slice():
    made = iter(range(1, 4))
    scales = TaskModules(TASKS, lambda: Scale(next(made)))
    x = torch.ones(2, 1, 1, 1, 1)
    assert scales.each(('depth', 'edge'), x).flatten().tolist() == [2, 3]


class Scale(torch.nn.Module):
    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x):
        return self.factor * x


def test_names_are_dropped_wherever_they_are():
    numbers = torch.nn.ParameterDict(dict(a=torch.nn.Parameter(torch.ones(1)), c=torch.nn.Parameter(torch.ones(1))))
    inner = torch.nn.ModuleDict(dict(a=Scale(1.0), b=numbers))
    module = torch.nn.ModuleDict(dict(a=torch.nn.Linear(1, 1), inner=inner))
    drop_names(module, ['a', 'x'])
    assert list(module.state_dict()) == ['inner.b.c']
    assert list(inner) == ['b']
