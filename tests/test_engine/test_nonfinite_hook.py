import json
from types import SimpleNamespace

import pytest
import torch
import torch.distributed as dist

from mlore_mm.engine import NonFiniteHook
from mlore_mm.engine.hooks import nonfinite_hook
from mlore_mm.engine.hooks.nonfinite_hook import _norm, _summary
from mlore_mm.registry import RUNNERS
from tests.distributed import run_in_processes
from tests.test_engine.test_runner import load

NAN = float('nan')


def build(folder, action='raise', poison=(1,), where='output', **options):
    """A toy training in which depth goes wrong in some iterations; the runner."""
    runner = RUNNERS.build(load(folder, **{'default_hooks.nonfinite.action': action, **options}))
    head = runner.model.heads['depth']
    if where == 'output':
        head.register_forward_hook(lambda module, args, y: y * NAN if y.requires_grad and runner.iter in poison else y)
        head.register_forward_hook(lambda module, args, y: y * NAN if _repeats(runner, poison) else y)
    else:
        head.weight.register_hook(lambda g: g * float('inf') if runner.iter in poison else g)
    return runner


def _repeats(runner, poison):
    return runner.model.training and not torch.is_grad_enabled() and runner.iter in poison


def report(folder, iteration):
    return json.loads((folder / 'work' / f'nonfinite_iter_{iteration}.json').read_text())


def test_a_loss_that_is_not_finite_ends_training_with_a_report(tmp_path):
    runner = build(tmp_path)
    message = (
        r"Iteration 2: loss_depth not finite; first in the output of 'heads.depth'. Images: .*\.png.*action='skip'"
    )
    with pytest.raises(ValueError, match=message):
        runner.train()
    found = report(tmp_path, 2)
    assert (found['iteration'], found['tasks'], found['first_layer']) == (2, ['loss_depth'], 'heads.depth')
    assert len(found['images']) == 2
    assert found['inputs_finite']
    assert all(torch.isfinite(p).all() for p in runner.model.parameters())


def test_gradients_that_are_not_finite_end_it_too(tmp_path):
    with pytest.raises(ValueError, match='gradients are not finite.* first in heads.depth.weight. Images'):
        build(tmp_path, where='gradient').train()
    assert report(tmp_path, 2)['gradients']['last_layers_first'] == ['heads.depth.weight']
    assert report(tmp_path, 2)['tasks'] == []


@pytest.mark.parametrize('where', ['output', 'gradient'])
def test_a_batch_is_left_out_as_if_it_had_never_been(tmp_path, where):
    runner = build(tmp_path, 'skip', where=where, **{'train_cfg.max_iters': 2, 'train_cfg.val_interval': 9})
    start = build(tmp_path, poison=(), **{'train_cfg.max_iters': 1, 'train_cfg.val_interval': 9})
    runner.train()
    start.train()
    for (name, a), b in zip(runner.model.state_dict().items(), start.model.state_dict().values(), strict=True):
        assert torch.equal(a, b), name
    assert report(tmp_path, 2)['iteration'] == 2


def test_leaving_out_ends_when_nothing_else_comes(tmp_path):
    with pytest.raises(ValueError, match='3 batches in a row are not finite'):
        build(tmp_path, 'skip', poison=range(9), **{'default_hooks.nonfinite.max_skips': 2}).train()


def test_a_loss_scale_that_collapses_ends_training(tmp_path):
    hook = NonFiniteHook(min_loss_scale=1.0)
    hook.runner = RUNNERS.build(load(tmp_path))
    scaler = torch.amp.GradScaler('cpu', init_scale=2.0)
    scaler.scale(torch.ones(1))
    hook._check_scale(scaler)
    scaler.update(1.0)  # the lowest that is allowed
    hook._check_scale(scaler)
    for none in (None, torch.amp.GradScaler('cpu', enabled=False)):
        hook._check_scale(none)
    scaler.update(0.5)
    with pytest.raises(ValueError, match='loss scale of mixed precision has fallen to 0.5, below 1, in iteration 1'):
        hook._check_scale(scaler)
    assert report(tmp_path, 1)['loss_scale'] == 0.5


def test_wrong_options_are_named():
    with pytest.raises(ValueError, match="'raise' or 'skip', but got 'ignore'"):
        NonFiniteHook(action='ignore')


def test_good_batches_between_start_the_count_anew(tmp_path):
    runner = build(tmp_path, 'skip', poison=(0, 2), **{'default_hooks.nonfinite.max_skips': 1})
    runner.train()
    hook = next(hook for hook in runner.hooks if isinstance(hook, NonFiniteHook))
    assert (hook.skipped, hook.in_a_row) == (2, 0)


def votes():
    """What every process decides: all is well; the second one's loss is NaN; the first one's gradient is infinite."""
    hook, decisions = NonFiniteHook('skip'), []
    for loss, gradient in ((1.0, 1.0), ((1.0, NAN)[dist.get_rank()], 1.0), (1.0, (torch.inf, 1.0)[dist.get_rank()])):
        hook.model = torch.nn.Linear(1, 1, bias=False)
        hook.model.weight.grad = torch.full((1, 1), gradient)
        hook._loss = torch.tensor(loss)
        decisions.append(hook._is_bad(scaled=False))
    return decisions


def test_what_one_process_sees_stops_all(tmp_path):
    assert run_in_processes(votes, tmp_path) == [[False, True, True]] * 2


def test_the_loss_of_every_accumulated_batch_counts():
    hook = NonFiniteHook()
    hook.model = torch.nn.Linear(1, 1)
    for loss in (NAN, 1.0):
        hook.see_loss(torch.tensor(loss))
    assert hook._is_bad(scaled=True)
    hook.runner = SimpleNamespace(optim_wrapper=None)
    hook.after_step(stepped=False)
    hook.see_loss(torch.tensor(1.0))
    assert not hook._is_bad(scaled=True)


@pytest.mark.parametrize(
    ('found', 'text'),
    [
        (dict(parameters=['a', 'b'], tasks=['loss_x']), 'the weights themselves are not finite, such as a.'),
        (dict(tasks=['loss_x', 'loss_y'], first_layer='c'), "loss_x, loss_y not finite; first in the output of 'c'."),
        (dict(tasks=['loss_x'], first_layer=None), 'loss_x not finite; every layer is finite.'),
        (dict(names=['d', 'e']), 'the gradients are not finite, or too large for a sum, first in d.'),
        (dict(), 'the gradients are not finite, or too large for a sum, first in their norm.'),
    ],
)
def test_the_worst_is_said_first(found, text):
    gradients = dict(last_layers_first=found.pop('names', []))
    assert _summary({**dict(parameters=[], tasks=[], gradients=gradients), **found}) == text


def test_the_norm_of_all_gradients():
    assert float(_norm([])) == 0
    assert float(_norm([torch.tensor([3.0]), torch.tensor([[4.0]])])) == 5


def test_every_process_writes_its_own_report(tmp_path, monkeypatch):
    hook = NonFiniteHook()
    hook.runner = SimpleNamespace(work_dir=tmp_path, iter=4)
    hook._images = ['a.png']
    for rank, name in ((0, 'nonfinite_iter_5.json'), (1, 'nonfinite_iter_5_rank1.json')):
        monkeypatch.setattr(nonfinite_hook, 'get_rank', lambda rank=rank: rank)
        assert hook._write_report(dict(loss=NAN)) == str(tmp_path / name)
        assert json.loads((tmp_path / name).read_text())['images'] == ['a.png']
    monkeypatch.setattr(nonfinite_hook, 'write_whole', full)
    assert hook._write_report({}) == str(tmp_path / name)


def full(*args):
    raise ValueError('no space left')


def test_only_calls_of_the_training_are_repeated_and_other_wrappers_are_warned_about():
    hook, told, model = NonFiniteHook(), [], torch.nn.Linear(1, 1)
    logger = SimpleNamespace(warning=told.append)
    hook.before_train(SimpleNamespace(model=model, optim_wrapper=5, logger=logger))
    assert 'with int numbers that are not finite are not noticed' in told[0]
    first = torch.ones(1)
    model.train()(first)
    model.eval()(torch.zeros(1))
    assert hook._call[0] == (first,)
    hook.before_train_iter(None, 0, dict(data_samples=[dict(img_path='a.png'), {}]))
    hook.before_train_iter(None, 1, [1, 2])
    assert (hook._images, hook._buffers) == (['a.png', '?'], [])


@pytest.mark.parametrize('enabled', [True, False])
def test_a_scaler_that_is_switched_off_checks_no_gradients(monkeypatch, enabled):
    """As on a CPU, where nobody but the hook does; one that works leaves bad steps out by itself."""
    hook, scaler = NonFiniteHook(), torch.amp.GradScaler('cpu', enabled=enabled)
    hook.runner = SimpleNamespace(optim_wrapper=SimpleNamespace(loss_scaler=scaler))
    hook.model = torch.nn.Linear(1, 1)
    hook.model.weight.grad = torch.full((1, 1), NAN)
    monkeypatch.setattr(hook, '_handle', lambda: None)
    hook.see_loss(torch.tensor(1.0))
    assert hook.may_step() is enabled
