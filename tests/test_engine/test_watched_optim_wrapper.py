import pytest
import torch
from mmengine.registry import init_default_scope
from torch import nn

from mlore_mm.engine import WatchedAmpOptimWrapper, WatchedOptimWrapper
from mlore_mm.registry import OPTIM_WRAPPERS


class Watcher:
    def __init__(self, allow):
        self.allow, self.seen = allow, []

    def see_loss(self, loss):
        self.seen.append(('loss', float(loss), loss.requires_grad))

    def may_step(self):
        self.seen.append('may')
        return self.allow

    def after_step(self, stepped):
        self.seen.append(('stepped', stepped))


def test_configs_name_them_as_mmengine_does():
    init_default_scope('mlore_mm')
    assert OPTIM_WRAPPERS.get('OptimWrapper') is WatchedOptimWrapper
    assert OPTIM_WRAPPERS.get('AmpOptimWrapper') is WatchedAmpOptimWrapper


@pytest.mark.parametrize('allow', [True, False])
def test_an_update_is_watched_and_may_be_held_back(allow):
    model = nn.Linear(1, 1)
    before = model.weight.detach().clone()
    wrapper = WatchedOptimWrapper(torch.optim.SGD(model.parameters(), lr=1.0), accumulative_counts=2)
    wrapper.watcher = Watcher(allow)
    wrapper.initialize_count_status(model, 0, 2)
    for _ in range(2):
        wrapper.update_params(model(torch.ones(1, 1)).sum() * 0 + 3 * model.weight.sum())
    assert [x[0] if isinstance(x, tuple) else x for x in wrapper.watcher.seen] == ['loss', 'loss', 'may', 'stepped']
    assert wrapper.watcher.seen[-1] == ('stepped', allow)
    assert not any(x[2] for x in wrapper.watcher.seen[:2])
    assert torch.equal(model.weight, before - 3 if allow else before)
    assert model.weight.grad is None or not model.weight.grad.any()


def test_the_norm_of_a_shared_out_model_is_asked_of_it():
    model = nn.Linear(1, 1)
    wrapper = WatchedOptimWrapper(torch.optim.SGD(model.parameters(), lr=1.0), clip_grad=dict(type='norm', max_norm=2))

    class Sharded:
        def clip_grad_norm_(self, **options):
            self.options = options
            return torch.tensor(7.0)

    wrapper.sharded = Sharded()
    wrapper.update_params(model.weight.sum())
    assert wrapper.sharded.options == dict(max_norm=2)
    assert float(wrapper.message_hub.get_scalar('train/grad_norm').current()) == 7


@pytest.mark.skipif(torch.cuda.is_available(), reason='there is a GPU, which takes fp16')
def test_mixed_precision_on_a_cpu_is_bfloat16_without_a_loss_scale():
    model = nn.Linear(4, 1)
    wrapper = WatchedAmpOptimWrapper(
        optimizer=torch.optim.SGD(model.parameters(), lr=0.5), clip_grad=dict(max_norm=1), accumulative_counts=2
    )
    wrapper.watcher = Watcher(True)
    wrapper.initialize_count_status(model, 0, 2)
    before = model.weight.detach().clone()
    for _ in range(2):
        with wrapper.optim_context(model):
            out = model(torch.ones(2, 4))
        assert out.dtype == torch.bfloat16
        wrapper.update_params(out.float().sum())
    assert not torch.equal(model.weight, before)
    assert model.weight.dtype == torch.float32
    stored = wrapper.state_dict()
    wrapper.load_state_dict(stored)
    wrapper.load_state_dict(dict(stored, loss_scaler={}))
    with pytest.raises(ValueError, match="On a CPU 16 bits are 'bf16'"):
        WatchedAmpOptimWrapper(dtype='float16', optimizer=torch.optim.SGD(model.parameters(), lr=1.0))


@pytest.mark.skipif(torch.cuda.is_available(), reason='there is a GPU, which takes fp16')
@pytest.mark.parametrize('dtype', ['bfloat16', torch.bfloat16, None])
def test_names_of_the_type(dtype):
    optimizer = torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=1.0)
    assert WatchedAmpOptimWrapper(dtype=dtype, optimizer=optimizer).cast_dtype == torch.bfloat16
    with pytest.raises(ValueError, match='float31'):
        WatchedAmpOptimWrapper(dtype='float31', optimizer=optimizer)


def test_without_a_watcher_it_is_mmengines_own():
    model = nn.Linear(1, 1)
    wrapper = WatchedOptimWrapper(torch.optim.SGD(model.parameters(), lr=1.0), clip_grad=dict(max_norm=0.5))
    before = model.weight.item()
    wrapper.update_params(model.weight.sum() * 4)
    assert model.weight.item() == pytest.approx(before - 0.5)
