"""Odd checkpoints through every way in: right, or refused by a message that names file and weight."""

import copy

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from mlore_mm.apis import init_model
from mlore_mm.engine.checkpoints import fill_model, read_checkpoint
from mlore_mm.engine.checkpoints import weights as module
from mlore_mm.engine.checkpoints.weights import (
    _few,
    check_averages,
    check_precision,
    check_values,
    require_all_weights,
)
from mlore_mm.registry import RUNNERS
from mlore_mm.utils.unwrap import bare_model
from tests.test_engine.test_runner import load
from tests.tiny import write_tiny

ONE = 'heads.depth.weight'


def changed(change):
    return lambda whole: whole['state_dict'].update({ONE: change(whole['state_dict'][ONE])})


def doubled(whole, factor=0.0):
    whole['state_dict'].update({f'module.{name}': x * factor for name, x in list(whole['state_dict'].items())})


def reverse_classes(whole):
    task = whole['meta']['dataset_meta']['tasks']['semseg']
    task['classes'] = tuple(reversed(task['classes']))


ODD = {
    'sparse': (changed(lambda x: x.to_sparse()), f"'{ONE}' as a tensor that is sparse_coo"),
    'without values': (changed(lambda x: x.to('meta')), f"'{ONE}' as a tensor that is without values"),
    'nan': (changed(lambda x: x * float('nan')), f"'{ONE}' with 3 of 3 values that are not finite"),
    'infinite': (changed(lambda x: x / 0), f"'{ONE}' with 3 of 3 values that are not finite"),
    'too large': (changed(lambda x: x.double() + 1e300), f"'{ONE}' .*not finite .*too large for torch.float32"),
    'truth values': (changed(lambda x: x > 0), f"'{ONE}' as truth values .*the model's is floating"),
    'whole numbers': (changed(lambda x: x.long()), f"'{ONE}' as whole numbers"),
    'complex': (changed(lambda x: x.to(torch.complex64)), f"'{ONE}' as complex"),
    'a list': (changed(lambda x: x.tolist()), f"a list as weight '{ONE}'"),
    'none': (changed(lambda x: None), f"a NoneType as weight '{ONE}'"),
    'quantized': (changed(lambda x: torch.quantize_per_tensor(x, 0.1, 0, torch.qint8)), f"'{ONE}' .*(quantized|holds)"),
    'twice': (doubled, "weight '.*' twice, with the prefix of a wrapper"),
    'number as name': (lambda whole: whole['state_dict'].update({5: torch.zeros(1)}), '5 among the names'),
    'list of weights': (lambda whole: whole.update(state_dict=[1]), 'holds no weights'),
    'no weights': (lambda whole: whole.update(state_dict={}), 'holds no weights'),
    'meta list': (lambda whole: whole.update(meta=[1, 2]), "a list as 'meta'"),
    'tasks number': (lambda whole: whole['meta'].update(tasks=5), r"meta\['tasks'\] = 5"),
    'classes': (reverse_classes, "classes of 'semseg' in another order: class 0 is 'red' there and 'dark' here"),
}


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp('trained')
    RUNNERS.build(load(folder)).train()
    return read_checkpoint(folder / 'work/iter_4.pth')


def resume(folder, path):
    RUNNERS.build(load(folder, load_from=path, resume=True, **{'train_cfg.max_iters': 5})).train()


def start(folder, path):
    runner = RUNNERS.build(load(folder, load_from=path, **{'train_cfg.max_iters': 1}))
    runner.train()
    return bare_model(runner.model).state_dict()


def test(folder, path):
    return RUNNERS.build(load(folder, load_from=path)).test()


def infer(folder, path):
    return init_model(load(folder), path).state_dict()


def pretrained(folder, path):
    runner = RUNNERS.build(load(folder, **{'train_cfg.max_iters': 1}))
    runner.model.init_cfg, runner.model._is_init = dict(type='Pretrained', checkpoint=path), False
    runner.train()
    return bare_model(runner.model).state_dict()


WAYS = dict(resume=resume, start=start, test=test, infer=infer, pretrained=pretrained)
test.__test__ = False


CASES = [(kind, 'test') for kind in ODD]
CASES += [(kind, way) for kind in ('nan', 'whole numbers', 'twice') for way in WAYS if way != 'test']
CASES += [(kind, way) for kind in ('meta list', 'classes') for way in ('resume', 'start', 'infer')]


@pytest.mark.parametrize(('kind', 'way'), CASES)
def test_odd_weights_are_refused_by_name(trained, tmp_path, kind, way):
    change, message = ODD[kind]
    whole = copy.deepcopy(trained)
    change(whole)
    torch.save(whole, tmp_path / 'odd.pth')
    with pytest.raises(ValueError, match=message) as error:
        WAYS[way](tmp_path, str(tmp_path / 'odd.pth'))
    assert 'odd.pth' in str(error.value) or kind == 'classes'


@pytest.mark.parametrize('way', WAYS)
def test_a_flipped_bit_is_found(trained, tmp_path, way):
    path = tmp_path / 'odd.pth'
    torch.save(trained, path)
    data = bytearray(path.read_bytes())
    data[data.find(trained['state_dict'][ONE].numpy().tobytes()) + 3] ^= 0x40
    path.write_bytes(data)
    with pytest.raises(ValueError, match='odd.pth .*checksum'):
        WAYS[way](tmp_path, str(path))


@pytest.mark.parametrize('way', ['start', 'test', 'infer', 'pretrained'])
def test_forms_that_mean_the_same_give_the_same(trained, tmp_path, way):
    whole = copy.deepcopy(trained)
    doubled(whole, factor=1)
    torch.save(whole, tmp_path / 'same.pth')
    torch.save(trained, tmp_path / 'plain.pth')
    expected = WAYS[way](tmp_path, str(tmp_path / 'plain.pth'))
    assert_close(WAYS[way](tmp_path, str(tmp_path / 'same.pth')), expected, rtol=0, atol=0)
    torch.save(dict(state_dict=trained['state_dict'], meta=None), tmp_path / 'none.pth')
    assert_close(WAYS[way](tmp_path, str(tmp_path / 'none.pth')), expected, rtol=0, atol=0)
    half = {name: x.half() if x.is_floating_point() else x for name, x in trained['state_dict'].items()}
    torch.save({f'module.{name}': x for name, x in half.items()}, tmp_path / 'half.pth')
    assert_close(WAYS[way](tmp_path, str(tmp_path / 'half.pth')), expected, rtol=1e-2, atol=1e-2)


def test_weights_without_a_training_are_not_resumed(trained, tmp_path):
    torch.save(dict(state_dict=trained['state_dict'], meta=None), tmp_path / 'odd.pth')
    with pytest.raises(ValueError, match='odd.pth lacks .*not its state.* load_from'):
        resume(tmp_path, str(tmp_path / 'odd.pth'))


def test_another_unit_and_other_classes_are_warned_about(trained, tmp_path):
    whole = copy.deepcopy(trained)
    whole['meta']['dataset_meta']['tasks']['depth']['unit'] = 'mm'
    whole['meta']['dataset_meta']['tasks']['semseg']['classes'] = ('dark', 'bright')
    torch.save(whole, tmp_path / 'other.pth')
    runner = RUNNERS.build(load(tmp_path, load_from=str(tmp_path / 'other.pth')))
    runner.test()
    log = next((tmp_path / 'work').rglob('*.log')).read_text()
    assert "'depth' in 'mm', this config says 'm'" in log
    assert "other classes of 'semseg': class 1 is 'bright' there and 'red' here" in log


def test_nothing_that_fits_is_an_error_and_a_part_is_named(trained, tmp_path, caplog):
    inner = {f'inner.{name}': x for name, x in trained['state_dict'].items()}
    torch.save(inner, tmp_path / 'inner.pth')
    for way in ('start', 'pretrained'):
        with pytest.raises(ValueError, match="None of the .*inner.pth, .* with 'inner.': give prefix='inner.'"):
            WAYS[way](tmp_path, str(tmp_path / 'inner.pth'))
    part = {k: x for k, x in trained['state_dict'].items() if 'depth' not in k}
    torch.save({**part, 'heads.semseg.bias': torch.zeros(7), 'more': torch.zeros(1)}, tmp_path / 'part.pth')
    start(tmp_path, str(tmp_path / 'part.pth'))
    log = sorted((tmp_path / 'work').rglob('*.log'))[-1].read_text()
    assert 'part.pth lacks 3 of the' in log
    assert 'heads.semseg.bias ((7,) in the file, (2,) in the model), heads.depth.weight, heads.depth.bias' in log
    assert '1 weights of ' in log
    assert 'are not used: more' in log


class Picky(nn.Linear):
    """A module that cannot take what it is given."""

    def _load_from_state_dict(self, state, prefix, metadata, strict, missing, unexpected, errors):
        errors.append(f'While copying the parameter named "{prefix}weight", an exception occurred')


def test_a_weight_that_is_not_copied_is_an_error():
    weights = nn.Linear(2, 2).state_dict()
    for optional in (None, ()):
        with pytest.raises(ValueError, match='x.pth cannot be copied'):
            fill_model(Picky(2, 2), weights, 'x.pth', optional)


def test_every_weight_is_copied_whatever_wraps_the_model():
    source, target = nn.BatchNorm2d(3), nn.DataParallel(nn.BatchNorm2d(3))
    for x in (*source.parameters(), *source.buffers()):
        x.data.copy_(torch.randint(1, 9, x.shape))
    fill_model(target, source.state_dict(), 'x.pth', ())
    assert all(
        torch.equal(a, b) for a, b in zip(source.state_dict().values(), target.state_dict().values(), strict=True)
    )
    partly = {k: v for k, v in source.state_dict().items() if k != 'num_batches_tracked'}
    fill_model(target, partly, 'x.pth', ('criterion.',))  # a counter that decides nothing


def test_a_value_that_is_infinite_in_the_model_itself_may_be_so_in_the_file():
    model = nn.Linear(1, 1)
    model.register_buffer('mask', torch.tensor([0.0, float('-inf')]))
    weights = dict(model.state_dict(), weight=torch.full((1, 1), 3.0))
    fill_model(model, weights, 'x.pth', ())
    assert model.weight.item() == 3
    assert model.mask.tolist() == [0, float('-inf')]


def test_parts_that_only_training_uses_may_be_missing():
    model = torch.nn.ModuleDict(dict(head=torch.nn.Linear(2, 1), criterion=torch.nn.Linear(2, 1)))
    weights = {f'head.{name}': torch.zeros(x.shape) for name, x in model.head.named_parameters()}
    for own in (model, model.state_dict()):
        require_all_weights(own, dict(state_dict=weights), 'x.pth', ('criterion.',))
        with pytest.raises(ValueError, match='x.pth lacks 2 of the 4 weights .* criterion.weight, criterion.bias'):
            require_all_weights(own, dict(state_dict=weights), 'x.pth', ())
    fill_model(model, weights, 'x.pth', ('criterion.',))
    with pytest.raises(ValueError, match='x.pth lacks 2 of the 4 weights'):
        fill_model(model, weights, 'x.pth', ())


@pytest.mark.parametrize('change', ['name', 'shape', 'nan', 'list', 'fewer'])
def test_averages_are_as_complete_as_the_weights(change):
    weights = nn.Linear(2, 1).state_dict()
    averages = {**{f'module.{name}': x.clone() for name, x in weights.items()}, 'steps': torch.tensor(3)}
    check_averages(dict(state_dict=weights, ema_state_dict=averages), 'x.pth')
    if change == 'name':
        averages['module.more'] = torch.zeros(1)
    elif change == 'shape':
        averages['module.bias'] = torch.zeros(9)
    elif change == 'nan':
        averages['module.bias'] = torch.full((1,), float('nan'))
    elif change == 'fewer':
        del averages['module.bias']
    else:
        averages = [1]
    with pytest.raises(ValueError, match='x.pth.*ema_state_dict'):
        check_averages(dict(state_dict=weights, ema_state_dict=averages), 'x.pth')


def test_the_tiny_model_from_a_test_of_its_own(tmp_path):
    """A real model: the numbers of a fresh one are exactly those of its file."""
    config, checkpoint = write_tiny(tmp_path)
    weights = read_checkpoint(checkpoint)['state_dict']
    model = init_model(config, checkpoint)
    assert model.state_dict().keys() == weights.keys()
    assert all(torch.equal(x, weights[name]) for name, x in model.state_dict().items())


def test_eight_bits_are_no_weights():
    own = dict(a=torch.ones(2))
    with pytest.raises(ValueError, match="x.pth has weight 'a' as torch.float8_e4m3fn, which is no form"):
        check_values(own, dict(a=own['a'].to(torch.float8_e4m3fn)), 'x.pth')
    for kind in (torch.float16, torch.bfloat16, torch.float64):
        check_values(own, dict(a=own['a'].to(kind)), 'x.pth')


def test_whole_numbers_and_rounded_ones_of_a_training_that_goes_on():
    own = dict(a=torch.ones(1), n=torch.ones(1, dtype=torch.long))
    check_precision(
        own, dict(a=torch.ones(1).double(), n=torch.ones(1, dtype=torch.int8), more=torch.ones(1).half()), 'x'
    )
    with pytest.raises(ValueError, match="x has weight 'a' rounded to torch.float16"):
        check_precision(own, dict(a=torch.ones(1).half()), 'x')


def test_no_more_than_six_names_are_listed():
    assert _few(list('abcdef')) == 'a, b, c, d, e, f'
    assert _few(list('abcdefg')) == 'a, b, c, d, e, f and 1 more'


def test_what_only_training_uses_is_not_mentioned(monkeypatch):
    said, model = [], nn.Linear(1, 1)
    monkeypatch.setattr(module, '_warn', said.append)
    found = {**model.state_dict(), 'criterion.x': torch.ones(1), 'gradient_surgery.y': torch.ones(1)}
    fill_model(model, found, 'x.pth', None)
    assert said == []
    fill_model(model, {**found, 'other': torch.ones(1)}, 'x.pth', ())
    assert said == ['1 weights of x.pth have no place in this model and are not used: other.']
    fill_model(nn.Sequential(), {'a': torch.ones(1)}, 'x.pth', None)  # a model without weights lacks none
