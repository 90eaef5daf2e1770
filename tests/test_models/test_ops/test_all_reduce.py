import torch
import torch.distributed as dist

from mlore_mm.models.ops import num_processes, sum_over_processes
from mlore_mm.models.ops.all_reduce import max_over_processes
from tests.distributed import run_in_processes


def test_alone_it_is_the_identity():
    x = torch.ones(2)
    assert sum_over_processes(x) is x
    assert num_processes() == 1
    largest = max_over_processes(x.requires_grad_())
    assert torch.equal(largest, torch.ones(2))
    assert not largest.requires_grad


def sum_and_gradient():
    x = torch.tensor([1.0 + dist.get_rank()], requires_grad=True)
    total = sum_over_processes(x)
    (total * (dist.get_rank() + 1)).sum().backward()
    largest = max_over_processes(x)
    return total.item(), x.grad.item(), num_processes(), largest.item(), x.item()  # the input stays


def test_every_result_depends_on_every_input(tmp_path):
    # Losses of the processes: 1 * total and 2 * total, so each input has the gradient 3.
    assert run_in_processes(sum_and_gradient, tmp_path) == [(3.0, 3.0, 2, 2.0, 1.0), (3.0, 3.0, 2, 2.0, 2.0)]
