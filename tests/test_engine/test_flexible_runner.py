"""What it says before several processes are needed; trainings in several are in test_fsdp_strategy.py."""

from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import FlexibleRunner

from mlore_mm.engine import MultiTaskFlexibleRunner, MultiTaskFSDPStrategy, MultiTaskRunner
from mlore_mm.models.layers import MLoREBlock
from mlore_mm.registry import MODELS, RUNNERS
from tests.test_engine.test_runner import load

NAME = 'mlore_mm.MultiTaskFlexibleRunner'


def test_one_process_gets_the_ordinary_runner(tmp_path):
    runner = RUNNERS.build(load(tmp_path, runner_type=NAME, strategy=dict(type='mlore_mm.MultiTaskFSDPStrategy')))
    assert type(runner) is MultiTaskRunner
    assert runner.task_names == ['semseg', 'depth', 'normals']


def test_a_launcher_needs_a_strategy(tmp_path):
    with pytest.raises(ValueError, match='needs a strategy in the config'):
        MultiTaskFlexibleRunner.from_cfg(load(tmp_path, runner_type=NAME, launcher='pytorch'))


def test_units_have_to_be_in_the_model(tmp_path):
    strategy = MultiTaskFSDPStrategy(work_dir=str(tmp_path), units=['Conv2d', 'MLoREBlok'])
    model = MODELS.build(dict(type='mmseg.FCNHead', in_channels=4, channels=4, num_classes=2))
    with pytest.raises(ValueError, match=r"\['MLoREBlok'\] \(units\), but the model has none. It has \[.*'Conv2d'"):
        strategy._unit_classes(model)
    strategy.units = None
    assert strategy._unit_classes(model) == set()


def test_units_are_recognised_by_class(tmp_path):
    """Classes or their names, with the package or without, and classes derived from them."""

    class Special(MLoREBlock):
        pass

    model = torch.nn.ModuleList([Special(['depth'], 4, [1, 2], 1, (1, 1), dict(top_k=1)), torch.nn.Conv2d(1, 1, 1)])
    strategy = MultiTaskFSDPStrategy(work_dir=str(tmp_path))
    assert strategy._unit_classes(model) == {Special}
    for unit in (MLoREBlock, 'MLoREBlock', 'mlore_mm.MLoREBlock', 'Special'):
        strategy.units = [unit]
        assert strategy._unit_classes(model) == {Special}, unit
    strategy.units = ['mmseg.MLoREBlock']
    with pytest.raises(ValueError, match="shard modules of .'mmseg.MLoREBlock'"):
        strategy._unit_classes(model)


@pytest.mark.parametrize(('by_epoch', 'counts'), [(True, (3, 5)), (False, (2, 6))])
def test_what_goes_into_a_checkpoint(by_epoch, counts):
    """Saved after iteration 5 of epoch 2, both counted from 0; what the hook says itself stays."""
    calls, hooks = [], []
    runner = SimpleNamespace(
        epoch=2, iter=5, cfg=Config(dict(a=1)), experiment_name='name', message_hub=SimpleNamespace(state_dict=dict),
        train_dataloader=SimpleNamespace(dataset=SimpleNamespace(metainfo=dict(tasks=1))),
        strategy=SimpleNamespace(save_checkpoint=lambda **options: calls.append(options)),
        call_hook=lambda name, **options: hooks.append((name, options)),
    )  # fmt: skip
    MultiTaskFlexibleRunner.save_checkpoint(runner, 'folder', 'a.pth', by_epoch=by_epoch, save_optimizer=False)
    (call,) = calls
    assert (call['filename'], call['save_optimizer'], call['save_param_scheduler']) == ('folder/a.pth', False, True)
    meta = call['extra_ckpt']['meta']
    assert (meta['epoch'], meta['iter']) == counts
    assert (meta['cfg'].strip(), meta['experiment_name'], meta['dataset_meta']) == ('a = 1', 'name', dict(tasks=1))
    assert call['extra_ckpt']['message_hub'] == {}
    call['callback']('content')
    assert hooks == [('before_save_checkpoint', dict(checkpoint='content'))]
    runner.train_dataloader.dataset = object()
    MultiTaskFlexibleRunner.save_checkpoint(runner, 'folder', 'a.pth', meta=dict(epoch=7, iter=8), by_epoch=by_epoch)
    meta = calls[1]['extra_ckpt']['meta']
    assert (meta['epoch'], meta['iter'], 'dataset_meta' in meta, calls[1]['save_optimizer']) == (7, 8, False, True)


def test_batch_norms_follow_the_config_unless_the_strategy_says_so(monkeypatch):
    monkeypatch.setattr(FlexibleRunner, 'build_strategy', lambda self, strategy, **options: (strategy, options))
    runner = MultiTaskFlexibleRunner.__new__(MultiTaskFlexibleRunner)
    runner.cfg = dict(sync_bn='torch')
    given = dict(type='x')
    assert runner.build_strategy(given, a=1) == (dict(type='x', sync_bn='torch'), dict(a=1))
    assert given == dict(type='x')
    assert runner.build_strategy(dict(type='x', sync_bn=None))[0]['sync_bn'] is None
    assert runner.build_strategy('ready')[0] == 'ready'


@pytest.mark.parametrize('method', ['resume', 'load_checkpoint'])
def test_a_strategy_is_told_which_weights_may_be_missing(monkeypatch, method):
    seen = []
    monkeypatch.setattr(FlexibleRunner, method, lambda self, name: seen.append((name, self.strategy.optional_weights)))
    runner = MultiTaskFlexibleRunner.__new__(MultiTaskFlexibleRunner)
    runner.strategy, runner._resume = SimpleNamespace(optional_weights='?'), True
    getattr(runner, method)('a.pth')
    runner._resume = False
    getattr(runner, method)('a.pth')
    assert seen == [('a.pth', ()), ('a.pth', None)]
