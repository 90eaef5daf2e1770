import torch
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper, OptimWrapperDict
from torch import nn

from mlore_mm.engine.whole_points import end_validation, fingerprint, step_is_whole


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


def test_numbers_that_are_no_numbers_and_other_kinds_show():
    model = nn.Linear(1, 1)
    for dtype in (torch.float16, torch.float64, torch.complex64, torch.int8):
        model.register_buffer(f'{dtype}'.replace('.', '_'), torch.zeros(2, dtype=dtype))
    model.weight.data.fill_(float('nan'))
    before = fingerprint(model)
    assert torch.equal(before, fingerprint(model))
    for tensor in (*model.parameters(), *model.buffers()):
        kept = tensor.detach().clone()
        tensor.data.fill_(2)
        assert int((fingerprint(model) != before).sum()) == 1
        tensor.data.copy_(kept)


def test_of_several_optimizers_all_have_to_have_stepped():
    model = nn.Linear(2, 1)
    slow, quick = (OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1), accumulative_counts=n) for n in (2, 1))
    for wrapper in (slow, quick):
        wrapper.initialize_count_status(model, 1, 4)
    assert [step_is_whole(OptimWrapperDict(a=x, b=y)) for x, y in ((slow, quick), (quick, slow), (quick, quick))] == [
        slow.should_update(),
        slow.should_update(),
        True,
    ]
    assert not slow.should_update()


def test_hooks_that_began_something_are_told_of_the_end():
    told = []

    class Told(Hook):
        def after_val_epoch(self, runner, metrics=None):
            told.append((type(self).__name__, metrics))

        def after_val(self, runner):
            told.append(type(self).__name__)

    class Begins(Told):
        def before_val_epoch(self, runner):
            pass

    class Whole(Told):
        def before_val(self, runner):
            pass

    class Own(Told):
        def __init__(self):
            self._before_epoch = lambda runner: None

    hooks = [Begins(), Told(), Whole(), Own()]
    end_validation(type('Runner', (), dict(hooks=hooks)))
    names = ['Begins', 'Whole', 'Own']
    assert told == [(name, {}) for name in names] + names
