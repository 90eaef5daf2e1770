import torch
from mmengine.optim import OptimWrapper, OptimWrapperDict
from torch import nn

from mlore_mm.engine.whole_points import fingerprint, step_is_whole


def test_a_step_is_whole_when_the_weights_were_just_updated():
    model = nn.Linear(2, 1)
    wrapper = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1), accumulative_counts=3)
    both = OptimWrapperDict(a=wrapper)
    wrapper.initialize_count_status(model, 0, 8)
    whole = []
    for _ in range(8):
        before = model.weight.detach().clone()
        wrapper.update_params(model(torch.ones(1, 2)).sum())
        whole.append(step_is_whole(wrapper))
        assert step_is_whole(both) == whole[-1] == bool((model.weight != before).any())
    assert whole == [False, False, True, False, False, True, False, True]


def test_any_change_of_a_weight_or_buffer_shows():
    model = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2)).to(torch.bfloat16)
    model.register_buffer('mask', torch.tensor([True, False]))
    before = fingerprint(model)
    assert torch.equal(before, fingerprint(model))
    for tensor in (*model.parameters(), *model.buffers()):
        kept = tensor.detach().clone()
        tensor.data.view(-1)[-1:] = ~tensor.data.view(-1)[-1:] if tensor.dtype == torch.bool else float('3')
        assert int((fingerprint(model) != before).sum()) == 1
        tensor.data.copy_(kept)
    assert fingerprint(nn.ReLU()).numel() == 0
