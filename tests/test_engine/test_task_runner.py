from types import SimpleNamespace

import pytest
from mmengine.config import Config

from mlore_mm.engine import MultiTaskRunner, complete_save_best
from mlore_mm.engine.task_runner import _end_workers
from mlore_mm.registry import RUNNERS
from mlore_mm.tasks import bind_tasks
from tests.test_engine.test_runner import load


def test_overrides_reach_the_model(tmp_path):
    cfg = load(tmp_path, **{'tasks.depth.loss_weight': 7.0, 'task_names': ['depth', 'semseg']})
    runner = RUNNERS.build(cfg)
    assert isinstance(runner, MultiTaskRunner)
    assert runner.model.tasks['depth'].loss_weight == 7.0
    assert runner.task_names == ['semseg', 'depth']


@pytest.mark.parametrize(
    ('given', 'key', 'rule'),
    [
        ({'save_best': 'auto'}, 'semseg/mIoU', 'greater'),
        ({'save_best': 'depth/RMSE'}, 'depth/RMSE', 'less'),
        ({'save_best': 'delta_m'}, 'delta_m', 'greater'),
        ({'save_best': 'depth/RMSE', 'rule': 'greater'}, 'depth/RMSE', 'greater'),
        ({'save_best': 'something'}, 'something', None),
        ({'save_best': None}, None, None),
    ],
)
def test_rule_of_the_best_checkpoint(tmp_path, given, key, rule):
    cfg = bind_tasks(load(tmp_path))
    cfg.default_hooks.checkpoint.update(given)
    complete_save_best(cfg)
    hook = cfg.default_hooks.checkpoint
    assert (hook.save_best, hook.get('rule')) == (key, rule)


def test_best_follows_the_evaluated_tasks(tmp_path):
    cfg = bind_tasks(load(tmp_path, eval_tasks=['normals', 'depth']))
    complete_save_best(cfg)
    assert cfg.default_hooks.checkpoint.save_best == 'depth/RMSE'  # in the order of `tasks`


def test_tensorboard_is_left_out_where_it_is_missing(tmp_path, monkeypatch):
    monkeypatch.setattr('mlore_mm.engine.task_runner.find_spec', lambda name: None)
    runner = RUNNERS.build(load(tmp_path))
    assert list(runner.visualizer._vis_backends) == ['LocalVisBackend']


def test_without_workers_nothing_of_workers_is_asked_for(tmp_path):
    loader = {'train_dataloader.num_workers': 0, 'train_dataloader.persistent_workers': True}
    loader |= {'train_dataloader.prefetch_factor': 4, 'train_cfg.max_iters': 1}
    runner = RUNNERS.build(load(tmp_path, **loader))
    runner.train()
    assert not runner.train_dataloader.persistent_workers


def test_a_config_without_a_model_or_a_hook_is_left_alone():
    for cfg in (dict(default_hooks=dict(checkpoint=dict(save_best='auto'))), dict(model=dict(tasks={}))):
        before = Config(cfg)
        complete_save_best(before)
        assert before.to_dict() == cfg


def test_the_model_inside_of_one_for_flips_counts(tmp_path):
    cfg = bind_tasks(load(tmp_path, eval_tasks=['depth']))
    cfg.default_hooks.checkpoint.save_best = 'auto'
    cfg.model = dict(type='Flips', module=cfg.model)
    complete_save_best(cfg)
    assert (cfg.default_hooks.checkpoint.save_best, cfg.default_hooks.checkpoint.rule) == ('depth/RMSE', 'less')


def test_hooks_that_no_config_can_leave_out(tmp_path):
    runner = RUNNERS.build(load(tmp_path, custom_hooks=[]))
    names = [type(hook).__name__ for hook in runner.hooks]
    assert {'BroadcastBuffersHook', 'SeedHook', 'TaskOrderHook'} <= set(names)
    assert 'FeatureCacheHook' not in names


def test_workers_are_asked_to_end_once():
    asked = []
    loader = SimpleNamespace(_iterator=SimpleNamespace(_shutdown_workers=lambda: asked.append(1)))
    _end_workers(SimpleNamespace(dataloader=loader), dict(type='never built'), SimpleNamespace(dataloader=loader), None)
    assert (asked, loader._iterator) == ([1], None)


def test_which_weights_may_be_missing(tmp_path):
    runner = RUNNERS.build(load(tmp_path))
    assert runner.optional_weights is None
    runner._whole_model = True
    assert runner.optional_weights == ('criterion.', 'data_preprocessor.', 'gradient_surgery.')
    runner._resume = True
    assert runner.optional_weights == ()


def test_a_test_and_a_validation_need_every_weight(tmp_path):
    for name in ('test', 'val'):
        runner = RUNNERS.build(load(tmp_path))
        getattr(runner, name)()
        assert runner._whole_model
