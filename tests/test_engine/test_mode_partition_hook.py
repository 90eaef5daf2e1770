"""Partition and temperature in a training of the Runner."""

from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config

from mlore_mm.engine.hooks import IterativeModePartitionHook, TemperatureAnnealHook, mode_partition_hook
from mlore_mm.engine.hooks.mode_partition_hook import temperature
from mlore_mm.models.partially_dynamic import partial_layers
from mlore_mm.registry import RUNNERS
from tests.tiny import TRAINING, write_rooms, write_tiny

HEAD = """
model['decode_head'] = dict(_delete_=True, type='MultiTaskFCNHead', in_channels=[16], in_index=[1], embed_dims=8)
model['criterion'] = dict(_delete_=True, type='MultiTaskCriterion')
model['partially_dynamic'] = [dict(modules='decode_head.heads.*.0', num_kernels=2)]
"""


@pytest.fixture(scope='module')
def config(tmp_path_factory):
    folder = tmp_path_factory.mktemp('partition')
    return write_tiny(folder, data=write_rooms(folder / 'NYUDv2'), more=HEAD_AND_TRAINING)[0]


HEAD_AND_TRAINING = TRAINING + HEAD


def make(config, folder, *hooks, **more):
    cfg = Config.fromfile(config)
    cfg.merge_from_dict(more)
    cfg.work_dir, cfg.custom_hooks = str(folder), list(hooks)
    return RUNNERS.build(cfg)


ANNEAL = dict(type='TemperatureAnnealHook', init=5.0, iterations=4)


def partition_hook(**options):
    return dict(dict(type='IterativeModePartitionHook', density=0.3, num_batches=2), **options)


def masks(model):
    return {name: layer.mask.clone() for name, layer in partial_layers(model).items()}


def test_a_training_begins_with_a_partition(config, tmp_path):
    seen = {}

    def look(runner):
        model = runner.model
        seen.update(masks=masks(model), rest={n: x.clone() for n, x in model.state_dict().items()})
        raise InterruptedError

    runner = make(config, tmp_path, ANNEAL, partition_hook(score='synflow'))
    kept = {}
    before = runner.call_hook

    def call_hook(name, **kwargs):
        if name == 'before_train':
            kept.update({n: x.clone() for n, x in runner.model.state_dict().items()})
        before(name, **kwargs)
        if name == 'before_train_epoch':
            look(runner)

    runner.call_hook = call_hook
    with pytest.raises(InterruptedError):
        runner.train()
    entries = sum(mask.numel() for mask in seen['masks'].values())
    dynamic = sum(int(mask.sum()) for mask in seen['masks'].values())
    assert dynamic == entries - int(0.7 * entries)
    changed = [n for n, x in seen['rest'].items() if not torch.equal(x, kept[n])]
    assert all(name.endswith(('mask', 'temperature')) for name in changed)
    assert seen['rest']['decode_head.heads.depth.0.attention.temperature'] == 5


def test_masks_and_temperature_are_resumed(config, tmp_path):
    hooks = ANNEAL, partition_hook()
    save = {'default_hooks.checkpoint.interval': 2}
    whole = make(config, tmp_path / 'a', *hooks, **save).train()
    log = next((tmp_path / 'a').rglob('*.log')).read_text()
    assert 'Partition by snip in' in log
    assert 'together | | |' in log
    resumed = make(
        config, tmp_path / 'b', *hooks, load_from=str(tmp_path / 'a/iter_2.pth'), resume=True, **save
    ).train()
    for name, x in whole.state_dict().items():
        assert torch.equal(x, resumed.state_dict()[name]), name
    temperatures = [x for name, x in whole.state_dict().items() if name.endswith('temperature')]
    assert [float(x) for x in temperatures] == [2.0] * 5  # of iteration 3 of 4


def test_the_training_sees_the_same_batches_with_and_without(config, tmp_path):
    """A partition that leaves every entry dynamic changes nothing."""
    plain = make(config, tmp_path / 'a').train().state_dict()
    other = make(config, tmp_path / 'b', partition_hook(density=1.0)).train().state_dict()
    for name, x in plain.items():
        assert torch.equal(x, other[name]), name


def test_nothing_to_partition_is_an_error(config, tmp_path):
    with pytest.raises(ValueError, match='found no partially dynamic layer'):
        make(config, tmp_path, partition_hook(), **{'model.partially_dynamic': []}).train()


def test_options_are_checked():
    with pytest.raises(ValueError, match='0 < density <= 1'):
        IterativeModePartitionHook(density=30)
    with pytest.raises(ValueError, match="'before_val'"):
        IterativeModePartitionHook(density=0.3, begin='before_val')
    for wrong in (dict(num_batches=0), dict(score='luck')):
        with pytest.raises(ValueError, match='num_batches >= 1, a score of'):
            IterativeModePartitionHook(density=0.3, **wrong)
    for wrong in (dict(init=0.5), dict(epochs=0), dict(iterations=-1)):
        with pytest.raises(ValueError, match='init >= 1 and epochs or iterations above 0'):
            TemperatureAnnealHook(**wrong)
    assert TemperatureAnnealHook(init=1, epochs=0, iterations=1).iterations == 1


def test_temperature_by_hand():
    assert [temperature(5.0, i, 4) for i in (0, 1, 2, 4, 9)] == [5, 4, 3, 1, 1]


def test_the_temperature_falls_over_passes_through_the_training_set(config, tmp_path):
    """Three pictures in batches of two are two steps: of three passes the third step is the middle."""
    runner = make(config, tmp_path)
    fake = SimpleNamespace(model=runner.model, iter=3, train_dataloader=range(2))
    TemperatureAnnealHook(init=5.0, epochs=3).before_train_iter(fake, 0)
    (value,) = {float(x) for name, x in runner.model.state_dict().items() if name.endswith('temperature')}
    assert value == 3


@pytest.mark.parametrize('begin', ['before_train', 'before_train_epoch'])
def test_what_is_set_reaches_the_partition(config, tmp_path, monkeypatch, begin):
    """A score of weights alone needs no batch; a training that goes on is not partitioned again."""
    calls = []
    monkeypatch.setattr(mode_partition_hook, 'partition', lambda layers, losses, **options: calls.append(options))
    options = dict(density=0.5, rounds=3, schedule='linear', scope='local', score='magnitude', control='invert')
    options['kappa_min_per_layer'] = 0.1
    runner = make(config, tmp_path)
    runner.model.train()
    fake = SimpleNamespace(model=runner.model, iter=0, train_dataloader=None, logger=runner.logger)
    hook = IterativeModePartitionHook(begin=begin, **options)
    for moment in ('before_train', 'before_train_epoch'):
        getattr(hook, moment)(fake)
    assert calls == [options]
    assert runner.model.training
    fake.iter = 1
    getattr(hook, begin)(fake)
    assert len(calls) == 1
